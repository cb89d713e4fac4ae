/**
 * What an evaluation is asked and what it reports: plain, JSON-able objects.
 */
import type { Policy } from "../exits/plan/index.js";
import type { Backend, WeightDtype } from "../tensor/index.js";
import type { WayEstimates } from "./metrics.js";
import type { TaskKind } from "./tasks.js";

export interface EvaluateOptions {
  /** Ways to leave early, each evaluated beside exits off. Needs heads. @default none */
  readonly policies?: readonly Policy[];
  /** Stops after this many items. @default all */
  readonly limit?: number;
  /**
   * Tokens that the model is given at most; longer contexts lose their beginning. @default the model's context limit
   */
  readonly maxLength?: number;
  /** Whether contexts begin with the special tokens that the tokenizer's configuration adds. @default true */
  readonly addSpecialTokens?: boolean;
  /** Tokens that are worked on together, or one passage where that is more: bounds the memory. @default 2048 */
  readonly batchTokens?: number;
  /** Seeds the bootstrap. @default 0 */
  readonly seed?: number;
  /** Bootstrap resamples. @default 1000 */
  readonly resamples?: number;
  readonly signal?: AbortSignal;
  /** Called after every batch; a promise is waited for. */
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
  /** null: exits off. `difference` is against that, item by item. */
  readonly policy: Policy | null;
  /** Share of the scored tokens at which the greedy choice is the full model's. */
  readonly agreement: number;
  /** Blocks run to choose a scored token, on average; those that fills run later are not counted. */
  readonly meanDepth: number;
}

/** Plain, JSON-able. */
export interface Evaluation {
  readonly format: "early-exits/evaluation";
  readonly version: 1;
  readonly kind: TaskKind;
  readonly items: number;
  /** Scored tokens. */
  readonly tokens: number;
  /** Passages whose context was cut on the left. */
  readonly truncated: number;
  readonly numLayers: number;
  readonly maxLength: number;
  readonly modelHash: string;
  /** null where a model without heads was evaluated. */
  readonly headsHash: string | null;
  readonly dtype: WeightDtype;
  readonly backend: Backend;
  /** Intervals hold this share of the resamples. */
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  /** Exits off first, then the policies in their order. */
  readonly ways: readonly EvaluatedWay[];
}
