/**
 * Subjects of measurements of samples: heads, the documents that policies are certified on, and prompts. The embedded
 * model is certified on speeches; SmolLM2-135M-Instruct on answers that it samples itself, one to each of some prompts,
 * which are the units.
 */
import { join } from "node:path";
import type { Certificate, ExitHeads } from "early-exits";
import type { CalibrationDocument } from "early-exits/calibrate";
import { selfAnswers } from "early-exits/exits";
import { answerDocument, type SamplingOptions } from "early-exits/model";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { chatPrompts, encodePrompts, knownConversations } from "../pretrained/prompts.js";
import { exactCertificates } from "../pretrained/read-certificates.js";
import { requireUncertified } from "../pretrained/held-prompts.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "../ship/embedded.js";

interface SampledSubject {
  /** The model, as reports name it. */
  readonly name: string;
  readonly heads: ExitHeads;
  readonly calibration: readonly CalibrationDocument[];
  /** Description of `calibration`, in words. */
  readonly unit: string;
  /** Token ids. */
  readonly prompts: readonly (readonly number[])[];
  /** Certificates for greedy text, which promise nothing for sampled text. */
  readonly greedy: readonly Certificate[];
}

interface SampledSubjectOptions {
  readonly sampling: SamplingOptions;
  /** At most so many documents certify. */
  readonly documents: number;
  readonly prompts: number;
  /** Tokens of a speech that make a prompt. */
  readonly promptTokens: number;
  /** New tokens per text. */
  readonly tokens: number;
}

/** The embedded model on speeches. */
export async function embeddedSubject(options: SampledSubjectOptions): Promise<SampledSubject> {
  const heads = await openHeads();
  const calibration = (await documentsOf("sotu-12", "calibration")).slice(0, options.documents);
  const prompts = (await documentsOf("sotu-12", "test"))
    .map((text) => heads.model.tokenizer.encode(text).slice(0, options.promptTokens))
    .slice(0, options.prompts);
  return {
    name: "sotu-12 with its heads",
    heads,
    calibration,
    unit: `${calibration.length} segments of speeches, independence assumed`,
    prompts,
    greedy: await Promise.all(levels.map((level) => shippedCertificate(level))),
  };
}

/** Path of SmolLM2, and its dtype. */
interface ChatSource {
  /** The GGUF file. */
  readonly file: string;
  /** The folder of heads and certificates. */
  readonly folder: string;
  /** The texts that prompts are made from. */
  readonly fixtures: string;
}

/** SmolLM2-135M-Instruct in int8, on its own sampled answers to prompts on which nothing was trained. */
export async function chatSubject(
  { file, folder, fixtures }: ChatSource,
  options: SampledSubjectOptions,
): Promise<SampledSubject> {
  const model = await readModel(file, { device: await createDevice("wasm"), dtype: "int8" });
  const heads = await readHeads(join(folder, "heads"), model);
  const all = await chatPrompts(fixtures, await knownConversations(fixtures, model.tokenizer));
  const asked = all.filter(({ split }) => split === "test" || split === "grid").slice(0, options.documents);
  const calibration: CalibrationDocument[] = [];
  const sampling = { ...options.sampling, maxNewTokens: options.tokens, batchSize: 24, seed: 1 };
  for await (const { index, prompt, answer } of selfAnswers(
    model,
    await encodePrompts(model.tokenizer, asked),
    sampling,
  )) {
    calibration.push(answerDocument(prompt, answer, asked[index]!.group));
    if (calibration.length % 24 === 0) console.error(`${calibration.length} of ${asked.length} answers`);
  }
  const held = all.filter(({ split }) => split === "held").slice(0, options.prompts);
  const greedy = await exactCertificates(join(folder, "certificates"));
  requireUncertified(held, greedy);
  return {
    name: "SmolLM2-135M-Instruct in int8 with its heads",
    heads,
    calibration,
    unit: `${calibration.length} sampled answers, each to another prompt, prompts as units`,
    prompts: await encodePrompts(model.tokenizer, held),
    greedy,
  };
}
