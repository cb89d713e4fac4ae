/**
 * Generation with any decoder: prompts become texts, which join the writing loop (writing-loop.ts) and leave it when
 * they end. One text is a batch of one.
 */
import { OptionError, requireInteger } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import type { Decoder } from "./decoder.js";
import type { Model } from "../model.js";
import { isConversation, preparePrompt, type Prompt } from "./prompt.js";
import { freshSequences, type SequenceStore } from "./sequence-store.js";
import { type GenerateOptions, type PlannedText, planText } from "./text.js";
import type { GeneratedToken, TextSummary } from "./writer.js";
import { type ActiveText, WritingLoop } from "./writing-loop.js";

/** Iterate it once. `summary` is available after the last token. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summary: TextSummary;
}

/** Iterate it once. `summaries`, one for each prompt, are available after the last token. */
export interface BatchGeneration extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summaries: readonly TextSummary[];
}

export interface BatchOptions {
  /** Sequences decoded together at most; the next prompt enters when one ends. @default all */
  readonly batchSize?: number;
}

export function generateWith(model: Model, prompt: Prompt, options: GenerateOptions, decoder: Decoder): Generation {
  const batch = generateBatchWith(model, [prompt], options, decoder);
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summary() {
      return batch.summaries[0]!;
    },
  };
}

/** Every text has the tokens of `generateWith` alone. Prompt i is sampled with seed + i. */
export function generateBatchWith(
  model: Model,
  prompts: readonly Prompt[],
  options: GenerateOptions & BatchOptions,
  decoder: Decoder,
  sequences: SequenceStore = freshSequences,
): BatchGeneration {
  const { signal, now = () => performance.now() } = options;
  const batchSize = requireInteger("generate: batchSize", options.batchSize ?? Math.max(1, prompts.length), 1);
  const plan = (promptIds: readonly number[], index: number): PlannedText =>
    planText(model, { index, promptIds, conversation: isConversation(prompts[index]!) }, options);
  // Illegal options and prompts are refused before the iteration, except what rendered messages show.
  const prepared = prompts.map((prompt, index) => {
    const ids = preparePrompt(model, prompt, options);
    return typeof ids === "function" ? async () => plan(await ids(), index) : plan(ids, index);
  });
  let summaries: readonly TextSummary[] | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    const entries = await Promise.all(prepared.map(async (entry) => (typeof entry === "function" ? entry() : entry)));
    const waiting = entries.filter(({ writer }) => !writer.finished);
    const loop = new WritingLoop<ActiveText>(model, { now, signal });
    try {
      await decoder.prepare?.();
      while (loop.size > 0 || waiting.length > 0) {
        const turn = giveTurn(signal);
        if (turn !== undefined) await turn;
        for (const entry of waiting.splice(0, batchSize - loop.size)) {
          loop.join({ ...entry, decoder, sequence: await sequences.open(model, entry) });
          const turn = giveTurn(signal); // a large cache takes the time of a token
          if (turn !== undefined) await turn;
        }
        const written = await loop.turn();
        for (const { text } of written) {
          if (text.writer.finished) sequences.close(text.sequence);
        }
        for (const each of written) {
          if ("error" in each) throw each.error;
          for (const token of each.tokens) {
            signal?.throwIfAborted();
            yield token;
          }
        }
      }
      summaries = entries.map(({ writer }) => writer.summary(started));
    } finally {
      for (const { sequence } of loop.texts) sequences.close(sequence);
    }
  }

  const iterator = tokens();
  return {
    [Symbol.asyncIterator]: () => iterator,
    get summaries() {
      if (summaries === undefined) {
        throw new OptionError(
          "summary-early",
          "generate: the summary is available once the iteration has ended; consume the tokens first",
        );
      }
      return summaries;
    },
  };
}
