/**
 * Accuracy and perplexity on tasks, with exits off and with policies.
 * @module early-exits/evaluate
 */
export { evaluate } from "./evaluate.js";
export type { EvaluatedWay, EvaluateOptions, Evaluation } from "./evaluation.js";
export type { Estimate, Estimates, MetricName, WayEstimates } from "./metrics.js";
export { type AnswerChoice, parseTaskLine, type TaskItem, type TaskKind, taskKinds } from "./tasks.js";
export { TaskError } from "../errors.js";
