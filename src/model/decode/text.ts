/** A text before it is written: checked prompt and options, sampler, writer. */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { shown } from "../../shown.js";
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
  readonly seed?: number;
  /** Ends generation; the string is not part of the output. */
  readonly stop?: string | readonly string[];
  /** @default true */
  readonly stopAtEndOfText?: boolean;
  /** Cancels generation: the iterator throws the signal's reason. */
  readonly signal?: CancelSignal | undefined;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

export const generateDefaults = {
  /** Fewer if the context leaves less room. */
  maxNewTokens: 128,
  seed: 0,
} as const satisfies GenerateOptions;

/** A conversation's turns end by themselves, so the limit is wider. */
export const chatDefaults = { ...generateDefaults, maxNewTokens: 1024 } as const satisfies GenerateOptions;

export interface PlannedText extends OpenText {
  readonly sampler: Sampler;
  readonly writer: Writer;
}

interface TextPrompt {
  /** Added to the seed; the tokens carry it. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** Conversations have wider limits. */
  readonly conversation: boolean;
}

/** Throws an OptionError or a TokenError for an illegal option, or tokens that do not fit. */
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
    options.maxNewTokens ?? Math.max(0, Math.min(defaults.maxNewTokens, room + 1)),
    0,
  );
  const stops = typeof stop === "string" ? [stop] : stop;
  if (!Array.isArray(stops) || !stops.every((one) => typeof one === "string")) {
    throw new OptionError("stop-strings", `generate: stop is ${shown(stop)}; give a string, or a list of strings`);
  }
  const first = requireInteger("generate: seed", seed, Number.MIN_SAFE_INTEGER);
  model.requireIds(promptIds);
  if (maxNewTokens > room + 1) {
    const prompt = promptIds.length;
    throw new OptionError(
      "context-overflow",
      `generate: a prompt of ${prompt} tokens and maxNewTokens ${maxNewTokens} exceed the context limit of ${limit}; ` +
        `ask for at most ${room + 1} new tokens`,
      { prompt, maxNewTokens, limit },
    );
  }
  return {
    index,
    promptIds,
    sampler: createSampler(options, createRng(first + index)),
    writer: new Writer(model, index, promptIds, { maxNewTokens, stop: stops, stopAtEndOfText }),
    capacity: promptIds.length + maxNewTokens,
  };
}
