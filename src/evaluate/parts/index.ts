/** Evaluation in parts. The report made of them is that of one process: `reportScores` of all scores in order. */
export { reportScores } from "../run-task.js";
export type { ItemScore } from "../score-items.js";
export { type EvaluationDescription, type EvaluationJob, openEvaluationJob } from "./evaluation-job.js";
export { parseScores } from "./scores-chunk.js";
