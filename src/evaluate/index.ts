/**
 * Accuracy and perplexity on tasks, and speed, with exits off and with policies.
 * @module early-exits/evaluate
 */
export { compareWays, type Comparison, type SpeedRatio, type Way, type WayResult } from "./compare-ways.js";
export { evaluate } from "./evaluate.js";
export type { EvaluatedWay, Evaluation } from "./evaluation.js";
export type { Estimate, MetricName } from "./metrics.js";
export { type TaskItem, type TaskKind, taskKinds } from "./tasks.js";
