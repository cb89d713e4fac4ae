/** Model, documents, settings and terminal of all sections of the demo. */
import { basename, join } from "node:path";
import {
  type ExitHeads,
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type HeadLoss,
  type Model,
  type WeightDtype,
} from "early-exits";
import { breathe, type Io } from "../io.js";
import { openModel } from "../open-model.js";
import { shippedFolder } from "../shipped/shipped-models.js";
import { type DemoDocuments, promptsOf, readDemoDocuments } from "./documents.js";

export const embeddedModel = join(shippedFolder, "sotu-12");

/** Temperature 0.5 stresses the most likely token, the one that an exit emits; int8 takes a third of float32's time. */
export const embeddedHeads = { loss: { kind: "kl", temperature: 0.5 }, dtype: "int8" } as const satisfies {
  readonly loss: HeadLoss;
  readonly dtype: WeightDtype;
};

/** The rest of the context is for generated text. */
export const PROMPT_TOKENS = 32;

export interface DemoPlan {
  readonly folder: string;
  readonly device: string | undefined;
  /** Seconds for training the heads; the other sections take shares. */
  readonly seconds: number;
  readonly agreement: number;
  readonly delta: number;
  /** Number or depths; undefined: those of the heads in the folder, if any. */
  readonly exits: number | readonly number[] | undefined;
  readonly maxNewTokens: number;
  readonly runs: number;
  readonly seed: number;
}

export interface Demo extends DemoPlan {
  readonly io: Io;
  readonly name: string;
  readonly model: Model;
  readonly documents: DemoDocuments;
  /** Beginnings of test documents; the texts that are shown continue the first. */
  readonly prompts: readonly (readonly number[])[];
}

/** Texts are cut to what the context leaves after a prompt. */
export async function openDemo(plan: DemoPlan, io: Io): Promise<Demo> {
  const documents = await readDemoDocuments(plan.folder);
  const model = await openModel(io, plan.folder, { device: plan.device });
  return {
    ...plan,
    io,
    name: basename(plan.folder),
    model,
    documents,
    prompts: promptsOf(model, documents.test, PROMPT_TOKENS),
    maxNewTokens: Math.min(plan.maxNewTokens, roomIn(model)),
  };
}

export function roomIn({ config }: Model): number {
  return config.maxPositionEmbeddings - PROMPT_TOKENS;
}

export interface DemoText {
  readonly prompt: string;
  readonly pieces: readonly { readonly text: string; readonly depth: number }[];
  readonly summary: GenerateSummary;
}

export function samplingOf({ seed }: Demo): GenerateOptions {
  return { temperature: 0.8, topK: 40, seed };
}

export async function continuePrompt(
  { model, prompts, maxNewTokens, io }: Demo,
  source: Model | ExitHeads,
  options: GenerateOptions,
): Promise<DemoText> {
  const prompt = prompts[0]!;
  const generation = generate(source, prompt, { ...options, maxNewTokens, signal: io.signal });
  const pieces: DemoText["pieces"][number][] = [];
  for await (const { text, depth } of generation) {
    pieces.push({ text, depth });
    await breathe();
  }
  return { prompt: model.tokenizer.decode(prompt), pieces, summary: generation.summary };
}
