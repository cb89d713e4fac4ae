/**
 * Generating texts with any decoder. This file takes care of prompts, limits, batches and cancelling; writer.ts keeps
 * what each text has so far, and a `Decoder` (decoder.ts) runs the model. One text is a batch of one.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { createRng } from "../../tensor/index.js";
import { giveTurn } from "../../turns.js";
import { prefill, type PrefillOptions } from "../advance.js";
import { createSampler, type Decoder, type Sampler } from "./decoder.js";
import type { Model } from "../model.js";
import { isConversation, preparePrompt, type Prompt, type PromptOptions } from "./prompt.js";
import type { SamplingOptions } from "./sampling.js";
import type { Sequence } from "../sequence.js";
import { freshSequences, type OpenText, type SequenceStore } from "./sequence-store.js";
import { type GeneratedToken, type TextSummary, Writer } from "./writer.js";

export interface GenerateOptions extends SamplingOptions, PromptOptions {
  /** @default 128, for a conversation 1024; fewer if the context has less room */
  readonly maxNewTokens?: number;
  /** Seed of the sampler. @default 0 */
  readonly seed?: number;
  /** Generation ends before the first of these strings, which is not part of the output. */
  readonly stop?: string | readonly string[];
  /** Whether generation ends after an end-of-text token. @default true */
  readonly stopAtEndOfText?: boolean;
  /** Cancels generation: the iterator throws the signal's reason. */
  readonly signal?: CancelSignal;
  /** The clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

export const generateDefaults = {
  /** Fewer if the context leaves less room. */
  maxNewTokens: 128,
  seed: 0,
} as const satisfies GenerateOptions;

/** In a conversation the model ends its turns itself, so the limit is wider. */
export const chatDefaults = { ...generateDefaults, maxNewTokens: 1024 } as const satisfies GenerateOptions;

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

/** A text to be written. Its prompt is run when it enters the batch. */
interface Entry extends OpenText {
  readonly sampler: Sampler;
  readonly writer: Writer;
}
interface Active extends Entry {
  readonly sequence: Sequence;
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
  const {
    seed = generateDefaults.seed,
    stop = [],
    stopAtEndOfText = true,
    signal,
    now = () => performance.now(),
  } = options;
  const batchSize = requireInteger("generate: batchSize", options.batchSize ?? Math.max(1, prompts.length), 1);
  const limit = model.config.maxPositionEmbeddings;
  const createEntry = (promptIds: readonly number[], index: number): Entry => {
    const defaults = isConversation(prompts[index]!) ? chatDefaults : generateDefaults;
    const room = limit - promptIds.length;
    const maxNewTokens = requireInteger(
      "generate: maxNewTokens",
      options.maxNewTokens ?? Math.max(0, Math.min(defaults.maxNewTokens, room)),
      0,
    );
    model.requireIds(promptIds);
    if (maxNewTokens > room + 1) throw contextError(promptIds.length, maxNewTokens, limit);
    const writer = new Writer(model, index, promptIds, { maxNewTokens, stop, stopAtEndOfText });
    return {
      index,
      promptIds,
      sampler: createSampler(options, createRng(seed + index)),
      writer,
      capacity: promptIds.length + maxNewTokens,
    };
  };
  // Illegal options and prompts are refused now, not when the iteration begins, except what rendered messages show.
  const prepared = prompts.map((prompt, index) => {
    const ids = preparePrompt(model, prompt, options);
    return typeof ids === "function" ? async () => createEntry(await ids(), index) : createEntry(ids, index);
  });
  let summaries: readonly TextSummary[] | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    const entries = await Promise.all(prepared.map(async (entry) => (typeof entry === "function" ? entry() : entry)));
    const waiting = entries.filter(({ writer }) => !writer.finished);
    let active: Active[] = [];
    try {
      await decoder.prepare?.();
      while (active.length > 0 || waiting.length > 0) {
        await giveTurn(signal);
        if (waiting.length > 0 && active.length < batchSize) {
          const entering = open(model, waiting.splice(0, batchSize - active.length), sequences);
          active.push(...entering);
          await enter(model, entering, { meter: decoder.meter, signal });
        }
        const rounds = await decoder.next(
          active.map(({ sequence, sampler, writer }) => ({ sequence, sampler, room: writer.room })),
        );
        const arrived = now();
        const written: GeneratedToken[] = [];
        for (const [i, { writer, sequence }] of active.entries()) {
          const round = rounds[i]!;
          written.push(...writer.write(round, arrived));
          if (writer.finished) {
            writer.close(sequence);
            sequences.close(sequence);
          } else sequence.append(round.tokens.at(-1)!.id);
        }
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

/** Opens a sequence for every entry, or for none if one does not fit. */
function open(model: Model, entries: readonly Entry[], sequences: SequenceStore): Active[] {
  const active: Active[] = [];
  try {
    for (const entry of entries) active.push({ ...entry, sequence: sequences.open(model, entry) });
  } catch (error) {
    for (const { sequence } of active) sequences.close(sequence);
    throw error;
  }
  return active;
}

/** Runs all prompt positions but the last through all blocks; the last one belongs to the first round. */
async function enter(model: Model, active: readonly Active[], options: PrefillOptions): Promise<void> {
  const { numLayers } = model.config;
  const work = active
    .map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers).slice(0, -1) }))
    .filter(({ positions }) => positions.length > 0);
  if (work.length > 0) await prefill(model, work, numLayers, options);
  options.meter?.step(0);
}

function contextError(prompt: number, maxNewTokens: number, limit: number): OptionError {
  return new OptionError(
    "context-overflow",
    `generate: a prompt of ${prompt} tokens and maxNewTokens ${maxNewTokens} exceed the context limit of ${limit}; ` +
      `ask for at most ${limit - prompt + 1} new tokens`,
    { prompt, maxNewTokens, limit },
  );
}
