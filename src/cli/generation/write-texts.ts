/**
 * Texts after many prompts, several at a time: prompt i is sampled with seed + i, so every text is the one that it gets
 * alone. Each becomes a line of JSON that holds nothing of the machine: no times, no counts of work.
 */
import { generateBatch } from "../../index.js";
import { generateDefaults } from "../../model/decode/index.js";
import type { PromptLine } from "../../node/index.js";
import type { Decoding } from "./open-decoding.js";

/** Texts that are written together. */
export const TEXTS_TOGETHER = 8;

/** One line of the file. */
export interface TextLine {
  readonly prompt: string;
  readonly text: string;
  readonly ids: readonly number[];
  /** Blocks run for each token; absent in lossless text, where drafts depend on what runs beside them. */
  readonly depths?: readonly number[];
  readonly finishReason: string;
}

/** The lines for prompts that follow each other; the first of them has the number `first`, from 0. */
export async function writeTexts(
  { source, model, options }: Pick<Decoding, "source" | "model" | "options">,
  prompts: readonly PromptLine[],
  first: number,
  signal: AbortSignal,
): Promise<string[]> {
  const { seed = generateDefaults.seed, lossless = false } = options;
  const batch = generateBatch(
    source,
    prompts.map(({ ids }) => ids),
    { ...options, seed: seed + first, signal },
  );
  const depths = prompts.map((): number[] => []);
  for await (const { prompt, depth } of batch) depths[prompt]!.push(depth);
  return batch.summaries.map(({ text, ids, finishReason }, i) => {
    const line: TextLine = {
      prompt: model.tokenizer.decode(prompts[i]!.ids),
      text,
      ids,
      ...(lossless === false && { depths: depths[i]! }),
      finishReason,
    };
    return `${JSON.stringify(line)}\n`;
  });
}
