/**
 * `evaluate`: how well a frozen model does on a task with exits off and with each policy, on the same items, so that
 * "accuracy kept" is a number with an interval. An item goes through
 *   tasks.ts  ->  run-task.ts (tokens)  ->  score-passages.ts (scores)  ->  metrics.ts (numbers)
 * which run-task.ts puts together; it is loaded only when a task is evaluated.
 */
import { PolicyError, requireInteger } from "../errors.js";
import { ExitHeads, modelOf } from "../exits/heads/exit-heads.js";
import { allNames, requireKnown } from "../known.js";
import { requirePolicyFor } from "../exits/plan/policy.js";
import type { Model } from "../model/index.js";
import { evaluateDefaults, type EvaluateOptions, type Evaluation } from "./evaluation.js";
import type { TaskItem } from "./tasks.js";

const optionNames = allNames<EvaluateOptions>()(
  "policies",
  "limit",
  "maxLength",
  "addSpecialTokens",
  "batchTokens",
  "seed",
  "resamples",
  "store",
  "signal",
  "onBatch",
);

/**
 * Evaluates a model, or heads and policies. Items are read one by one, leaving a few numbers each. Throws an
 * OptionError for an empty task or an illegal option, a TaskError for an item that cannot be scored, and a PolicyError
 * if a policy was made for other heads.
 *
 * @example
 * ```ts
 * import { evaluate } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const items = [{ kind: "lambada", context: "The people of the United", continuation: " States" }] as const;
 * const { ways } = await evaluate(model, items); // exits off, then each policy
 * console.log(ways[0]!.metrics["acc"]!.value); // 1
 * ```
 */
export async function evaluate(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  requireKnown("evaluate", options, optionNames);
  const {
    policies = [],
    limit = Infinity,
    maxLength = contextOf(source),
    addSpecialTokens = evaluateDefaults.addSpecialTokens,
    batchTokens = evaluateDefaults.batchTokens,
    seed = evaluateDefaults.seed,
    resamples = evaluateDefaults.resamples,
    store,
    signal,
    onBatch,
  } = options;
  const heads = source instanceof ExitHeads ? source : undefined;
  if (limit !== Infinity) requireInteger("evaluate: limit", limit, 1);
  requireInteger("evaluate: maxLength", maxLength, 1, contextOf(source));
  requireInteger("evaluate: batchTokens", batchTokens, 1);
  requireInteger("evaluate: resamples", resamples, 1);
  if (policies.length > 0 && heads === undefined) {
    throw new PolicyError("policy-heads", "evaluate: policies need exit heads; pass the heads instead of the model");
  }
  if (heads !== undefined) {
    for (const policy of policies) await requirePolicyFor(heads, policy);
  }
  const { runTask } = await import("./run-task.js");
  const checked = { policies, limit, maxLength, addSpecialTokens, batchTokens, seed, resamples };
  return runTask(source, items, { ...checked, store, signal, onBatch });
}

function contextOf(source: Model | ExitHeads): number {
  return modelOf(source).config.maxPositionEmbeddings;
}
