/** Model, documents, settings and terminal of all sections of the demo. */
import { basename, join } from "node:path";
import {
  EarlyExitError,
  type ExitHeads,
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type HeadLoss,
  type Model,
  type Policy,
  type WeightDtype,
} from "early-exits";
import { readJson } from "early-exits/node";
import { compareWays, type Comparison, type Way } from "early-exits/evaluate";
import { breathe, type Io } from "../io.js";
import { type ModelSettings, openModel } from "../open-model.js";
import { withProgress } from "../progress.js";
import { shippedFolder } from "../shipped.js";

export const embeddedModel = join(shippedFolder, "sotu-12");

/** Temperature 0.5 stresses the most likely token, the one that an exit emits; int8 takes a third of float32's time. */
export const embeddedHeads = { loss: { kind: "kl", temperature: 0.5 }, dtype: "int8" } as const satisfies {
  readonly loss: HeadLoss;
  readonly dtype: WeightDtype;
};

/** The rest of the context is for generated text. */
const PROMPT_TOKENS = 32;

interface DemoPlan {
  readonly folder: string;
  readonly device: ModelSettings["device"];
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

export interface WrittenText {
  readonly pieces: readonly { readonly text: string; readonly depth: number }[];
  readonly summary: GenerateSummary;
}

export interface DemoText extends WrittenText {
  readonly prompt: string;
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
  const written = await write(io, source, prompt, { ...options, maxNewTokens });
  return { prompt: model.tokenizer.decode(prompt), ...written };
}

export async function write(
  io: Io,
  source: Model | ExitHeads,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<WrittenText> {
  const generation = generate(source, prompt, { ...options, signal: io.signal });
  const pieces: WrittenText["pieces"][number][] = [];
  for await (const { text, depth } of generation) {
    pieces.push({ text, depth });
    await breathe();
  }
  return { pieces, summary: generation.summary };
}

/** Times plain decoding, exits and lossless decoding in turn on the same prompts. */
export function timeWays(
  io: Io,
  heads: ExitHeads,
  policy: Policy,
  prompts: readonly (readonly number[])[],
  options: {
    readonly runs: number;
    readonly maxNewTokens: number;
    /** Seconds. @default no limit */
    readonly budget?: number;
    readonly stopAtEndOfText?: boolean;
  },
): Promise<Comparison> {
  const ways: Way[] = [
    { name: "plain", options: {} },
    { name: "exits", options: { policy } },
    { name: "lossless", options: { policy, lossless: true } },
  ];
  return withProgress(io, "generate", (report) =>
    compareWays(heads, ways, prompts, {
      ...options,
      now: io.now,
      signal: io.signal,
      onRun: (event) => report({ ...event, text: "runs" }),
    }),
  );
}

export interface DemoDocument {
  readonly title: string;
  readonly text: string;
}

/** documents.json in the model's folder: texts for training, calibration and tests. */
interface DemoDocuments {
  readonly train: readonly DemoDocument[];
  readonly calibration: readonly DemoDocument[];
  readonly test: readonly DemoDocument[];
}

const PROMPTS = 16;
const PROMPT_WORDS = 10;

/** Throws an EarlyExitError if the file is missing or has another shape. */
async function readDemoDocuments(folder: string): Promise<DemoDocuments> {
  const path = join(folder, "documents.json");
  const json = (await readJson(path).catch((error: unknown) => {
    throw new EarlyExitError(
      "demo-model",
      `demo: ${path} cannot be read; either the package is incomplete, or this is a checkout in which the model has ` +
        "not been made yet: npm run pretrain",
      { path },
      { cause: error },
    );
  })) as Partial<DemoDocuments> | null;
  if (typeof json !== "object" || json === null || ![json.train, json.calibration, json.test].every(isDocumentList)) {
    throw new EarlyExitError(
      "demo-documents",
      `${path}: expected lists train, calibration and test of { title, text }`,
      { path },
    );
  }
  return json as DemoDocuments;
}

function isDocumentList(part: unknown): boolean {
  if (!Array.isArray(part) || part.length === 0) return false;
  return part.every(
    (entry: Partial<DemoDocument> | null) => typeof entry?.title === "string" && typeof entry.text === "string",
  );
}

/** Beginnings cut in the middle of a sentence, in at most `tokens` tokens. */
function promptsOf(model: Model, documents: readonly DemoDocument[], tokens: number): number[][] {
  return documents.slice(0, PROMPTS).map(({ text }) => {
    const words = text.split(" ").slice(0, PROMPT_WORDS);
    while (words.length > 1 && /[.!?]["”']?$/.test(words.at(-1)!)) words.pop();
    return model.tokenizer.encode(words.join(" ")).slice(0, tokens);
  });
}
