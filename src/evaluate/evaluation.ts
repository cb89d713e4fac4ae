/** The options of an evaluation and its report: plain objects that JSON can hold. */
import type { CancelSignal } from "../cancel-signal.js";
import type { CacheStore } from "../exits/states/shards.js";
import type { Policy } from "../exits/plan/policy.js";
import type { StoredAs } from "../model/index.js";
import type { Backend } from "../tensor/index.js";
import type { WayEstimates } from "./metrics.js";
import type { TaskKind } from "./tasks.js";

export interface EvaluateOptions {
  /** Policies to evaluate beside exits off. Require heads. @default none */
  readonly policies?: readonly Policy[];
  /** Stops after this many items. @default all */
  readonly limit?: number;
  /** Maximum number of input tokens; longer contexts lose their beginning. @default the model's context limit */
  readonly maxLength?: number;
  /** Begins contexts with the special tokens that the tokenizer's configuration adds. @default true */
  readonly addSpecialTokens?: boolean;
  /** Tokens per batch, or a single passage if that is longer: bounds the memory. @default 2048 */
  readonly batchTokens?: number;
  /** Seed of the bootstrap. @default 0 */
  readonly seed?: number;
  /** Bootstrap resamples. @default 1000 */
  readonly resamples?: number;
  /** Keeps scores of items; those that are there (same model, heads, policies and item) are read. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal;
  /** Called after every batch; a returned promise is awaited. */
  readonly onBatch?: (event: { readonly items: number; readonly tokens: number }) => unknown;
}

export const evaluateDefaults = {
  addSpecialTokens: true,
  batchTokens: 2048,
  seed: 0,
  resamples: 1000,
} as const satisfies EvaluateOptions;

/** One way to run the model over the task. */
export interface EvaluatedWay extends WayEstimates {
  /** null: exits off. `difference` is relative to exits off, item by item. */
  readonly policy: Policy | null;
  /** The share of scored tokens at which the greedy choice is the full model's. */
  readonly agreement: number;
  /** Mean number of blocks run per scored token, without the blocks that fills run later. */
  readonly meanDepth: number;
}

/** The report of an evaluation. */
export interface Evaluation {
  readonly format: "early-exits/evaluation";
  readonly version: 1;
  readonly kind: TaskKind;
  readonly items: number;
  /** Number of scored tokens. */
  readonly tokens: number;
  /** Number of passages whose context was cut on the left. */
  readonly truncated: number;
  readonly numLayers: number;
  readonly maxLength: number;
  readonly modelHash: string;
  /** null if a model without heads was evaluated. */
  readonly headsHash: string | null;
  /** The dtype of weight matrices, and of the KV cache unless that is float32. */
  readonly dtype: StoredAs;
  readonly backend: Backend;
  /** The share of resamples inside an interval. */
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  /** Exits off first, then the policies in the given order. */
  readonly ways: readonly EvaluatedWay[];
}
