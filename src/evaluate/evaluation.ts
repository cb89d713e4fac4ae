/** The options of an evaluation and its report: plain objects that JSON can hold. */
import type { CancelSignal } from "../cancel-signal.js";
import type { CacheStore } from "../exits/states/record-states.js";
import type { Policy } from "../exits/plan/policy.js";
import type { StoredAs } from "../model/index.js";
import type { Backend } from "../tensor/index.js";
import type { WayEstimates } from "./metrics.js";
import type { TaskKind } from "./tasks.js";

export interface EvaluateOptions {
  /** Policies beside exits off; they require heads. @default none */
  readonly policies?: readonly Policy[];
  /** Items at most. @default all */
  readonly limit?: number;
  /** Input tokens at most; longer contexts lose their beginning. @default the model's context limit */
  readonly maxLength?: number;
  /** Begins contexts with the tokenizer's configured special tokens. @default true */
  readonly addSpecialTokens?: boolean;
  /** Tokens per batch, or a single passage if that is longer: bounds the memory. @default 2048 */
  readonly batchTokens?: number;
  readonly seed?: number;
  readonly resamples?: number;
  /** Scores of items; those present (same model, heads, policies and item) are read. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal;
  /** Called after every batch; a promise is awaited. */
  readonly onBatch?: (event: { readonly items: number; readonly tokens: number }) => unknown;
}

export const evaluateDefaults = {
  addSpecialTokens: true,
  batchTokens: 2048,
  seed: 0,
  resamples: 1000,
} as const satisfies EvaluateOptions;

export interface EvaluatedWay extends WayEstimates {
  /** null: exits off. `difference` is relative to exits off, item by item. */
  readonly policy: Policy | null;
  /** Share of scored tokens at which the greedy choice is the full model's. */
  readonly agreement: number;
  /** Mean blocks per scored token, without those that fills run later. */
  readonly meanDepth: number;
}

/** The report of an evaluation. */
export interface Evaluation {
  readonly format: "early-exits/evaluation";
  readonly version: 1;
  readonly kind: TaskKind;
  readonly items: number;
  readonly tokens: number;
  /** Passages cut on the left. */
  readonly truncated: number;
  readonly numLayers: number;
  readonly maxLength: number;
  readonly modelHash: string;
  /** null without heads. */
  readonly headsHash: string | null;
  /** The dtype of weight matrices, and of the KV cache unless that is float32. */
  readonly dtype: StoredAs;
  readonly backend: Backend;
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  /** Exits off first, then the policies in the given order. */
  readonly ways: readonly EvaluatedWay[];
}
