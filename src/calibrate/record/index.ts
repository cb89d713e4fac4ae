/** Outputs of heads and model on calibration text, and what policies do there. */
export type { DocumentRecord, ExitRecord } from "./document-record.js";
export {
  countedEvidence,
  deployedEvidence,
  type Evidence,
  type GivenCandidates,
  recordedEvidence,
  streamedEvidence,
} from "./evidence.js";
export type { JudgeOptions } from "./judge.js";
export { type ExitOutcome, outcomeOfTally, playPolicy, type PolicyOutcome } from "./outcome.js";
export { type DocumentCounts, pickVectors, type PolicyRuns, type RunCandidates, tallyRuns } from "./policy-runs.js";
export {
  type Agreement,
  type CalibrationRecords,
  createRecorder,
  flatten,
  hashDocuments,
  recordDocuments,
  type RecordDocumentsOptions,
} from "./record.js";
export { runPolicies, type RunPoliciesOptions } from "./run-policies.js";
export { gridSize, seededOrder } from "./split.js";
export { exitCosts, judgedBy, requireScore, scoresOf, type Subject } from "./subject.js";
export { tableOf } from "./table-of.js";
