/** Outputs of heads and model on calibration text, and what policies do there. */
export { type DocumentRecord, type ExitRecord, parseRecord, serializeRecord } from "./document-record.js";
export {
  type CalibrationDocument,
  type Counted,
  countedAs,
  type GroupedDocument,
  hashDocuments,
  type HashedDocument,
  judgedTokens,
} from "./documents.js";
export {
  countedEvidence,
  type Evidence,
  type EvidenceDocument,
  type GivenCandidates,
  ranEvidence,
  recordedEvidence,
  streamedEvidence,
  tableIn,
  tallyIn,
} from "./evidence.js";
export { type ExitFeasibility, feasibility, feasibilityOf, type FeasibilityOptions } from "./feasibility.js";
export { createJudge, type Judge, type JudgeOptions } from "./judge.js";
export { asGiven, type OwnTextOptions, runOwnText } from "./own-text.js";
export { type ExitOutcome, outcomeOfTally, playPolicy, playRuns, type PolicyOutcome } from "./outcome.js";
export {
  type DocumentCounts,
  type OwnText,
  pickVectors,
  type PolicyRuns,
  type RunCandidates,
  tallyRuns,
} from "./policy-runs.js";
export {
  type CalibrationRecords,
  createRecorder,
  flatten,
  judgedDocuments,
  recordDocuments,
  type Recorder,
  type RecordDocumentsOptions,
} from "./record.js";
export { runHashed, runPolicies, type RunPoliciesOptions } from "./run-policies.js";
export { arrange, type Arrangement, type Unit } from "./split.js";
export {
  describeSubject,
  exitCosts,
  exitTimes,
  judgedBy,
  lossOf,
  requireScore,
  scoresOf,
  type Subject,
} from "./subject.js";
export { tableOf } from "./table-of.js";
