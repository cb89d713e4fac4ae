/**
 * Generating texts with any decoder. This file takes care of prompts, batches and cancelling; text.ts plans and
 * writes each text, and a `Decoder` (decoder.ts) runs the model. One text is a batch of one.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import { prefill, type PrefillOptions } from "../advance.js";
import type { Decoder } from "./decoder.js";
import type { Model } from "../model.js";
import { isConversation, preparePrompt, type Prompt } from "./prompt.js";
import { freshSequences, type SequenceStore } from "./sequence-store.js";
import { type ActiveText, type GenerateOptions, type PlannedText, planText, writeRound } from "./text.js";
import type { GeneratedToken, TextSummary } from "./writer.js";

/** The tokens of one text as they come; iterate it once. `summary` is available after the last token. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summary: TextSummary;
}

/**
 * The tokens of all texts as they come; iterate it once. `summaries`, one for each prompt, are available after the last
 * token.
 */
export interface BatchGeneration extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summaries: readonly TextSummary[];
}

export interface BatchOptions {
  /** How many sequences are decoded together at most; the next prompt enters when one ends. @default all */
  readonly batchSize?: number;
}

/** Generates one text. */
export function generateWith(model: Model, prompt: Prompt, options: GenerateOptions, decoder: Decoder): Generation {
  const batch = generateBatchWith(model, [prompt], options, decoder);
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summary() {
      return batch.summaries[0]!;
    },
  };
}

/**
 * Generates a text for every prompt, with the same tokens as `generateWith` on each alone. Prompt i is sampled with
 * seed + i.
 */
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
  // Illegal options and prompts are refused now, not when the iteration begins, except what rendered messages show.
  const prepared = prompts.map((prompt, index) => {
    const ids = preparePrompt(model, prompt, options);
    return typeof ids === "function" ? async () => plan(await ids(), index) : plan(ids, index);
  });
  let summaries: readonly TextSummary[] | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    const entries = await Promise.all(prepared.map(async (entry) => (typeof entry === "function" ? entry() : entry)));
    const waiting = entries.filter(({ writer }) => !writer.finished);
    let active: ActiveText[] = [];
    try {
      await decoder.prepare?.();
      while (active.length > 0 || waiting.length > 0) {
        const turn = giveTurn(signal);
        if (turn !== undefined) await turn;
        if (waiting.length > 0 && active.length < batchSize) {
          const next = waiting.splice(0, batchSize - active.length);
          const entering = await open(model, next, { sequences, signal });
          active.push(...entering);
          await enter(model, entering, { meter: decoder.meter, signal });
        }
        const rounds = await writeRound(decoder, active, {
          now,
          onEnd: ({ sequence }) => {
            sequences.close(sequence);
          },
        });
        const written = rounds.flat();
        decoder.meter?.step(written.length);
        active = active.filter(({ writer }) => !writer.finished);
        for (const token of written) {
          signal?.throwIfAborted();
          yield token;
        }
      }
      summaries = entries.map(({ writer }) => writer.summary(started));
    } finally {
      for (const { sequence } of active) sequences.close(sequence);
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

interface OpenOptions {
  readonly sequences: SequenceStore;
  readonly signal: CancelSignal | undefined;
}

/** Opens a sequence for every entry, or for none if one does not fit. A large cache takes the time of a token. */
async function open(
  model: Model,
  entries: readonly PlannedText[],
  { sequences, signal }: OpenOptions,
): Promise<ActiveText[]> {
  const active: ActiveText[] = [];
  try {
    for (const entry of entries) {
      active.push({ ...entry, sequence: await sequences.open(model, entry) });
      const turn = giveTurn(signal);
      if (turn !== undefined) await turn;
    }
  } catch (error) {
    for (const { sequence } of active) sequences.close(sequence);
    throw error;
  }
  return active;
}

/** Runs all prompt positions but the last through all blocks; the last one belongs to the first round. */
async function enter(model: Model, active: readonly ActiveText[], options: PrefillOptions): Promise<void> {
  const { numLayers } = model.config;
  const work = active
    .map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers).slice(0, -1) }))
    .filter(({ positions }) => positions.length > 0);
  if (work.length > 0) await prefill(model, work, numLayers, options);
  options.meter?.step(0);
}
