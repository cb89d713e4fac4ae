/**
 * Generating texts with any decoder. This file takes care of prompts, limits, batches and cancelling; writer.ts keeps
 * what each text has so far, and a `Decoder` (decoder.ts) runs the model. One text is a batch of one.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { createRng } from "../../tensor/index.js";
import { advance } from "../advance.js";
import { createSampler, type Decoder, type Sampler } from "./decoder.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
import type { SamplingOptions } from "./sampling.js";
import { Sequence } from "../sequence.js";
import { type GeneratedToken, type TextSummary, Writer } from "./writer.js";

export interface GenerateOptions extends SamplingOptions {
  /** @default 128, or fewer if the context has less room */
  readonly maxNewTokens?: number;
  /** Seed of the sampler. @default 0 */
  readonly seed?: number;
  /** Generation ends before the first of these strings, which is not part of the output. */
  readonly stop?: string | readonly string[];
  /** Whether generation ends after an end-of-text token. @default true */
  readonly stopAtEndOfText?: boolean;
  /**
   * Whether special tokens (such as begin-of-text) are put around a text prompt.
   * @default as the tokenizer's own configuration says
   */
  readonly addSpecialTokens?: boolean;
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

/** Token ids of a prompt; a text needs the model's tokenizer. Throws an OptionError if the prompt is empty. */
export function encodePrompt(
  model: Model,
  prompt: string | readonly number[],
  { addSpecialTokens }: Pick<GenerateOptions, "addSpecialTokens">,
): readonly number[] {
  const ids =
    typeof prompt === "string"
      ? model.tokenizer.encode(prompt, addSpecialTokens === undefined ? {} : { addSpecialTokens })
      : prompt;
  if (ids.length > 0) return ids;
  const { bosTokenId, eosTokenIds } = model.config;
  const start = bosTokenId ?? eosTokenIds[0];
  if (typeof prompt === "string" && start !== undefined) return [start]; // an empty text begins a new document
  throw new OptionError("prompt-empty", "generate: the prompt has no tokens; give a text or at least one token id");
}

/** Generates one text. */
export function generateWith(
  model: Model,
  prompt: string | readonly number[],
  options: GenerateOptions,
  decoder: Decoder,
): Generation {
  const batch = generateBatchWith(model, [prompt], options, decoder);
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summary() {
      return batch.summaries[0]!;
    },
  };
}

/** A text to be written. Its prompt is run when it enters the batch. */
interface Entry {
  readonly promptIds: readonly number[];
  readonly sampler: Sampler;
  readonly writer: Writer;
  readonly capacity: number;
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
  prompts: readonly (string | readonly number[])[],
  options: GenerateOptions & BatchOptions,
  decoder: Decoder,
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
  // Illegal options and prompts are refused now, not when the iteration begins.
  const entries: Entry[] = prompts.map((prompt, index) => {
    const promptIds = encodePrompt(model, prompt, options);
    const room = limit - promptIds.length;
    const maxNewTokens = requireInteger(
      "generate: maxNewTokens",
      options.maxNewTokens ?? Math.max(0, Math.min(generateDefaults.maxNewTokens, room)),
      0,
    );
    model.requireIds(promptIds);
    if (maxNewTokens > room + 1) throw contextError(promptIds.length, maxNewTokens, limit);
    const writer = new Writer(model, index, promptIds, { maxNewTokens, stop, stopAtEndOfText });
    return {
      promptIds,
      sampler: createSampler(options, createRng(seed + index)),
      writer,
      capacity: promptIds.length + maxNewTokens,
    };
  });
  let summaries: readonly TextSummary[] | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    const waiting = entries.filter(({ writer }) => !writer.finished);
    let active: Active[] = [];
    try {
      await decoder.prepare?.();
      while (active.length > 0 || waiting.length > 0) {
        signal?.throwIfAborted();
        if (waiting.length > 0 && active.length < batchSize) {
          active.push(...enter(model, waiting.splice(0, batchSize - active.length), decoder.meter));
        }
        const rounds = await decoder.next(
          active.map(({ sequence, sampler, writer }) => ({ sequence, sampler, room: writer.room })),
        );
        const arrived = now();
        const written: GeneratedToken[] = [];
        for (const [i, { writer, sequence }] of active.entries()) {
          const round = rounds[i]!;
          written.push(...writer.write(round, arrived));
          if (writer.finished) sequence.dispose();
          else sequence.append(round.tokens.at(-1)!.id);
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
      for (const { sequence } of active) sequence.dispose();
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

/** Runs all prompt positions but the last through all blocks at once; the last one belongs to the first round. */
function enter(model: Model, entries: readonly Entry[], meter: WorkMeter | undefined): Active[] {
  const active = entries.map((entry) => {
    const sequence = new Sequence(model, entry.capacity);
    sequence.append(...entry.promptIds);
    return { ...entry, sequence };
  });
  const { numLayers } = model.config;
  const work = active
    .filter(({ sequence }) => sequence.length > 1)
    .map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers).slice(0, -1) }));
  if (work.length > 0) advance(model, work, numLayers, meter);
  meter?.step(0);
  return active;
}

function contextError(prompt: number, maxNewTokens: number, limit: number): OptionError {
  return new OptionError(
    "context-overflow",
    `generate: a prompt of ${prompt} tokens and maxNewTokens ${maxNewTokens} exceed the context limit of ${limit}; ` +
      `ask for at most ${limit - prompt + 1} new tokens`,
    { prompt, maxNewTokens, limit },
  );
}
