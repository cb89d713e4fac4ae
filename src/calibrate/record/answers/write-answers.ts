/**
 * Answers of a model or a policy, as `generate` gives them, many prompts at once, each with its own random numbers: one
 * for a token. Tokens that are known beforehand are not chosen again: decoding starts behind them, with keys and values
 * of all blocks, and the random numbers that are next. In a store, answers are named by all that they are functions of
 * (model, heads, kernels, settings, policy, prompt, seed), so that an interrupted calibration goes on where it was, and
 * processes share its prompts.
 */
import { createDecoder } from "../../../exits/generate.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import type { Policy } from "../../../exits/plan/policy.js";
import { findingName, isCount, jsonIn, jsonOf, readFinding, writeFinding } from "../../../exits/states/findings.js";
import type { CacheStore } from "../../../exits/states/record-states.js";
import type { Choice } from "../../../model/decode/decoder.js";
import { type ActiveText, WritingLoop } from "../../../model/decode/generate.js";
import { type GenerateOptions, planText } from "../../../model/decode/text.js";
import { Sequence } from "../../../model/index.js";
import { giveTurn } from "../../../turns.js";
import { describeSubject, madeOf } from "../subject.js";
import { type Answer, promptError } from "./losses.js";

export interface AskedText {
  /** Its place among all prompts, added to the seed. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** The beginning of the answer, or all of it. @default none */
  readonly known?: () => Promise<readonly Choice[]>;
}

export interface WrittenAnswer extends Answer {
  /** [exits] tokens that left there. */
  readonly left: readonly number[];
}

export interface AnswerStoreOptions {
  /** Keeps every answer as soon as it is written; those that it has are not written again. */
  readonly store?: CacheStore;
  /**
   * The prompts, by place, that this process answers; the store has, or will have, the answers to all others.
   * @default all
   */
  readonly share?: (prompt: number) => boolean;
}

export interface WriteAnswersOptions extends GenerateOptions, AnswerStoreOptions {
  readonly maxNewTokens: number;
  /** Texts that are written together. */
  readonly batchSize: number;
  /** Called after every answer; a promise is awaited. */
  readonly onAnswer?: (() => unknown) | undefined;
}

/**
 * Writes an answer to each prompt, in their order. Throws an OptionError ("answers-missing") if prompts of other shares
 * have none in the store, once all of this share have one.
 */
export async function writeAnswers(
  heads: ExitHeads,
  policy: Policy | undefined,
  texts: readonly AskedText[],
  { batchSize, onAnswer, store, share = () => true, ...options }: WriteAnswersOptions,
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
  let absent: number | undefined;
  const made = store && [madeOf(await describeSubject(heads)), policy ?? null, { ...options, signal: undefined }];
  const nameOf = (place: number): Promise<string> => {
    const { index, promptIds } = texts[place]!;
    return findingName("answer", [made, index, promptIds]);
  };
  const end = async (place: number, writer: ActiveText["writer"]): Promise<void> => {
    const { text, ids, finishReason } = writer.summary(0);
    answers[place] = { text, ids, finishReason, left: left[place]! };
    if (store !== undefined) await writeFinding(store, await nameOf(place), jsonOf(answers[place]));
    await onAnswer?.();
  };
  let next = 0;
  try {
    while (loop.size > 0 || next < texts.length) {
      await giveTurn(options.signal);
      for (; next < texts.length && loop.size < batchSize; next++) {
        const kept = store && (await readFinding(store, await nameOf(next), answerIn));
        if (kept !== undefined) {
          answers[next] = kept;
          await onAnswer?.();
          continue;
        }
        const { index, promptIds, ...text } = texts[next]!;
        if (!share(index)) {
          absent ??= index;
          continue;
        }
        const known = (await text.known?.()) ?? [];
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
      const turn = await loop.turn();
      for (const { text } of turn) {
        if (text.writer.finished) text.sequence.dispose();
      }
      for (const written of turn) {
        if ("error" in written) throw written.error;
        const { place, writer } = written.text;
        count(place, written.tokens);
        if (writer.finished) await end(place, writer);
      }
    }
  } finally {
    for (const { sequence } of loop.texts) sequence.dispose();
  }
  if (absent === undefined) return answers;
  const found = "is another process's, whose answer is not in the store; run this again when all have ended";
  throw promptError("answers-missing", absent, found);
}

/** Undefined for what is no answer. */
function answerIn(bytes: Uint8Array): WrittenAnswer | undefined {
  const answer = jsonIn(bytes) as WrittenAnswer;
  const { text, ids, left } = answer;
  return typeof text === "string" && [...ids, ...left].every((one) => isCount(one)) ? answer : undefined;
}
