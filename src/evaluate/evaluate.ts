/**
 * `evaluate`: how well a frozen model does on a task with exits off, and by each policy on the same items, so that
 * "accuracy kept" is a number with an interval. What is asked is in tasks.ts, how text becomes tokens in passages.ts,
 * how tokens are scored through exits in likelihood.ts, what scores amount to in metrics.ts; run-task.ts puts them
 * together, loaded by those who evaluate.
 */
import { PolicyError, requireInteger } from "../errors.js";
import { ExitHeads } from "../exits/heads.js";
import { type Policy, requirePolicyFor } from "../exits/policy.js";
import type { Model } from "../model/model.js";
import type { Backend, WeightDtype } from "../tensor/device.js";
import type { WayEstimates } from "./metrics.js";
import type { TaskItem, TaskKind } from "./tasks.js";

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

/**
 * Evaluates a model, or heads and policies, on the items of a task; they are read one by one, and only a few numbers of
 * each are kept. Throws an OptionError for an empty task or an illegal option, a TaskError for an item that cannot be
 * scored, a PolicyError where a policy was made for other heads.
 */
export async function evaluate(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const [model, heads] = source instanceof ExitHeads ? [source.model, source] : [source, undefined];
  const {
    policies = [],
    limit = Infinity,
    maxLength = model.config.maxPositionEmbeddings,
    addSpecialTokens = true,
    batchTokens = 2048,
    seed = 0,
    resamples = 1000,
    signal,
    onBatch,
  } = options;
  if (limit !== Infinity) requireInteger("evaluate: limit", limit, 1);
  requireInteger("evaluate: maxLength", maxLength, 1, model.config.maxPositionEmbeddings);
  requireInteger("evaluate: batchTokens", batchTokens, 1);
  requireInteger("evaluate: resamples", resamples, 1);
  if (policies.length > 0 && heads === undefined) {
    throw new PolicyError("policy-heads", "evaluate: policies need exit heads; pass the heads instead of the model");
  }
  if (heads !== undefined) {
    for (const policy of policies) await requirePolicyFor(heads, policy);
    await heads.freeze();
  }
  const { runTask } = await import("./run-task.js");
  return runTask(source, items, {
    policies,
    limit,
    maxLength,
    addSpecialTokens,
    batchTokens,
    seed,
    resamples,
    signal,
    onBatch,
  });
}
