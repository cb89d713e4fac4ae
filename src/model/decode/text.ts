/** A text before it is written: its prompt and options, checked, and the sampler and writer that it will have. */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { createRng } from "../../tensor/index.js";
import { createSampler, type Sampler } from "./decoder.js";
import type { Model } from "../model.js";
import type { PromptOptions } from "./prompt.js";
import type { SamplingOptions } from "./sampling.js";
import type { OpenText } from "./sequence-store.js";
import { Writer } from "./writer.js";

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

/** A text to be written, of which nothing has run yet. */
export interface PlannedText extends OpenText {
  readonly sampler: Sampler;
  readonly writer: Writer;
}

/** The prompt of a planned text. */
export interface TextPrompt {
  /** Added to the seed; the tokens carry it. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** Whether the prompt is a conversation, which has wider limits. */
  readonly conversation: boolean;
}

/** Plans a text. Throws an OptionError or a TokenError for an illegal option, or tokens that do not fit. */
export function planText(
  model: Model,
  { index, promptIds, conversation }: TextPrompt,
  options: GenerateOptions,
): PlannedText {
  const { seed = generateDefaults.seed, stop = [], stopAtEndOfText = true } = options;
  const limit = model.config.maxPositionEmbeddings;
  const defaults = conversation ? chatDefaults : generateDefaults;
  const room = limit - promptIds.length;
  const maxNewTokens = requireInteger(
    "generate: maxNewTokens",
    options.maxNewTokens ?? Math.max(0, Math.min(defaults.maxNewTokens, room)),
    0,
  );
  model.requireIds(promptIds);
  if (maxNewTokens > room + 1) throw contextError(promptIds.length, maxNewTokens, limit);
  return {
    index,
    promptIds,
    sampler: createSampler(options, createRng(seed + index)),
    writer: new Writer(model, index, promptIds, { maxNewTokens, stop, stopAtEndOfText }),
    capacity: promptIds.length + maxNewTokens,
  };
}

function contextError(prompt: number, maxNewTokens: number, limit: number): OptionError {
  return new OptionError(
    "context-overflow",
    `generate: a prompt of ${prompt} tokens and maxNewTokens ${maxNewTokens} exceed the context limit of ${limit}; ` +
      `ask for at most ${limit - prompt + 1} new tokens`,
    { prompt, maxNewTokens, limit },
  );
}
