/**
 * Texts after many prompts, several at a time; prompt i has seed + i, so its text is the one that it gets alone. Each
 * becomes a line of JSON that holds nothing of the machine: no times, no counts of work.
 */
import { generateBatch, type GenerateOptions } from "early-exits";
import { libraryDefaults, type PromptLine } from "early-exits/node";
import type { Decoding } from "./open-decoding.js";

export const TEXTS_TOGETHER = 8;

export interface TextLine {
  readonly prompt: string;
  readonly text: string;
  readonly ids: readonly number[];
  /** Blocks run for each token; absent in lossless text, where drafts depend on what runs beside them. */
  readonly depths?: readonly number[];
  readonly finishReason: string;
}

/** `first`: number of the first prompt, from 0. After an audit's alarm, texts are written without exits. */
export async function writeTexts(
  { source, model, options, audit }: Pick<Decoding, "source" | "model" | "options" | "audit">,
  prompts: readonly PromptLine[],
  first: number,
  signal: AbortSignal,
): Promise<string[]> {
  const { seed = libraryDefaults.generate.seed, lossless = false } = options;
  const settings: { -readonly [K in keyof GenerateOptions]: GenerateOptions[K] } = {
    ...options,
    seed: seed + first,
    signal,
  };
  if (audit?.state.alarm.raised === true) delete settings.policy;
  const batch = generateBatch(
    source,
    prompts.map(({ ids }) => ids),
    settings,
  );
  const depths = prompts.map((): number[] => []);
  for await (const { prompt, depth } of batch) depths[prompt]!.push(depth);
  for (const [i, { ids }] of batch.summaries.entries()) {
    if (audit?.state.alarm.raised === false) await audit.read({ promptIds: prompts[i]!.ids, ids }, { signal });
  }
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
