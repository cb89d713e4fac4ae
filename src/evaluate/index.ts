/**
 * Accuracy and perplexity on tasks, and speed, with exits off and with policies.
 * @module early-exits/evaluate
 */
export {
  type CompareEvent,
  type CompareOptions,
  compareWays,
  type Comparison,
  type SpeedRatio,
  type Way,
  type WayResult,
} from "./compare-ways.js";
export { evaluate } from "./evaluate.js";
export { type EvaluatedWay, evaluateDefaults, type EvaluateOptions, type Evaluation } from "./evaluation.js";
export type { Estimate, Estimates, MetricName, WayEstimates } from "./metrics.js";
export { type AnswerChoice, parseTaskLine, type TaskItem, type TaskKind, taskKinds } from "./tasks.js";
export { TaskError } from "../errors.js";
