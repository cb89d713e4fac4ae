/** What heads and the model say on held-out text. */
export { type Evidence, recordedEvidence, streamedEvidence, tableOf } from "./evidence.js";
export { type ExitOutcome, outcomeOfTally, playPolicy, type PolicyOutcome } from "./outcome.js";
export {
  type DocumentCounts,
  pickVectors,
  type PolicyRuns,
  type RunCandidates,
  runEvidence,
  runPolicies,
  type RunPoliciesOptions,
  runVectors,
  tallyRuns,
} from "./policy-runs.js";
export {
  type Agreement,
  type CalibrationRecords,
  createRecorder,
  type DocumentRecord,
  type ExitRecord,
  flatten,
  hashDocuments,
  recordDocuments,
  type RecordDocumentsOptions,
} from "./record.js";
export { gridSize, seededOrder } from "./split.js";
export { exitCosts, requireScore, scoresOf, type Subject } from "./subject.js";
