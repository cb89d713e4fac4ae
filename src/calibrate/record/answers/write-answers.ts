/**
 * Answers of a model or a policy, as `generate` gives them, many prompts at once, each with its own random numbers: one
 * for a token. Tokens that are known beforehand are not chosen again: decoding starts behind them, with keys and values
 * of all blocks, and the random numbers that are next.
 */
import { createDecoder } from "../../../exits/generate.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import type { Policy } from "../../../exits/plan/policy.js";
import type { Choice } from "../../../model/decode/decoder.js";
import { type ActiveText, WritingLoop } from "../../../model/decode/generate.js";
import { type GenerateOptions, planText } from "../../../model/decode/text.js";
import { Sequence } from "../../../model/index.js";
import { giveTurn } from "../../../turns.js";
import type { Answer } from "./losses.js";

export interface AskedText {
  /** Its place among all prompts, added to the seed. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** The beginning of the answer, or all of it. @default none */
  readonly known?: readonly Choice[];
}

export interface WrittenAnswer extends Answer {
  /** [exits] tokens that left there. */
  readonly left: readonly number[];
}

export interface WriteAnswersOptions extends GenerateOptions {
  readonly maxNewTokens: number;
  /** Texts that are written together. */
  readonly batchSize: number;
  /** Called after every answer; a promise is awaited. */
  readonly onAnswer?: (() => unknown) | undefined;
}

/** Writes an answer to each prompt, in their order. */
export async function writeAnswers(
  heads: ExitHeads,
  policy: Policy | undefined,
  texts: readonly AskedText[],
  { batchSize, onAnswer, ...options }: WriteAnswersOptions,
): Promise<WrittenAnswer[]> {
  const { model } = heads;
  const decoder = createDecoder(heads, policy === undefined ? {} : { policy });
  await decoder.prepare?.();
  const loop = new WritingLoop<ActiveText & { readonly place: number }>(model, options);
  const left = texts.map(() => heads.depths.map(() => 0));
  const count = (place: number, choices: readonly Choice[]): void => {
    for (const { exit } of choices) {
      if (exit !== undefined) left[place]![exit]!++;
    }
  };
  const answers: WrittenAnswer[] = [];
  const end = async (place: number, writer: ActiveText["writer"]): Promise<void> => {
    const { text, ids, finishReason } = writer.summary(0);
    answers[place] = { text, ids, finishReason, left: left[place]! };
    await onAnswer?.();
  };
  let next = 0;
  try {
    while (loop.size > 0 || next < texts.length) {
      await giveTurn(options.signal);
      for (; next < texts.length && loop.size < batchSize; next++) {
        const { index, promptIds, known = [] } = texts[next]!;
        const planned = planText(model, { index, promptIds, conversation: false }, options);
        planned.writer.write({ tokens: known, drafted: 0 }, 0);
        // A sampled token takes a random number.
        for (let t = 0; t < known.length && !planned.sampler.greedy; t++) planned.sampler.chance(0);
        count(next, known);
        if (planned.writer.finished) {
          await end(next, planned.writer);
          continue;
        }
        const sequence = new Sequence(model, planned.capacity);
        sequence.append(...promptIds, ...known.map(({ id }) => id));
        loop.join({ ...planned, decoder, sequence, place: next });
      }
      for (const written of await loop.turn()) {
        if ("error" in written) throw written.error;
        const { place, writer, sequence } = written.text;
        count(place, written.tokens);
        if (!writer.finished) continue;
        sequence.dispose();
        await end(place, writer);
      }
    }
  } finally {
    for (const { sequence } of loop.texts) sequence.dispose();
  }
  return answers;
}
