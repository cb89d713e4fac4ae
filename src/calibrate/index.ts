/**
 * Thresholds from held-out text: certificates and their verification, audits, the published procedure.
 * @module early-exits/calibrate
 */
export { type AlarmOptions, type AlarmState, alarmWealth, createAlarm, stepAlarm } from "./audit/alarm.js";
export { Audit, type AuditOptions, type AuditReport, type AuditState, type FinishedText } from "./audit/audit.js";
export { type LossInterval, lossInterval } from "./audit/loss-interval.js";
export {
  binomialPmf,
  binomialTail,
  clopperPearsonLower,
  clopperPearsonUpper,
  errorFreeUnits,
  hoeffdingBentkusPValue,
  hoeffdingPValue,
  hoeffdingSlack,
  hoeffdingUpper,
  unitsNeeded,
  wsrPValue,
  wsrUpper,
} from "./bounds/index.js";
export {
  calibrate,
  type CalibrateOptions,
  calibrateRecords,
  type CalibrateRecordsOptions,
  certificateFrom,
  type OwnTextCalibration,
  policyFrom,
  proposeThresholds,
} from "./calibrate.js";
export {
  type AssumptionCode,
  type ClaimTerms,
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateDocument,
  type CertificateGroups,
  type CertificateSettings,
  type CertificateTest,
  checkCertificate,
  describeAssumption,
  describeClaim,
} from "./certificate/index.js";
export type { CalibrationNotes, Certified, CertifyPolicyOptions, Dependence } from "./certify/index.js";
export {
  calibratePaper,
  type CalibrationReport,
  type PaperCalibration,
  type PaperCalibrationOptions,
  paperLevels,
  type PaperOptions,
  type PaperStrategy,
  paperThreshold,
} from "./paper/index.js";
export {
  type Certification,
  certifyLosses,
  type CertifyOptions,
  type ExitCosts,
  fixedSequence,
  type LossMatrix,
  lossesOf,
  type Tally,
} from "./procedures/index.js";
export {
  type CalibrationDocument,
  type Counted,
  type HashedDocument,
  type CalibrationRecords,
  type DocumentCounts,
  type DocumentRecord,
  type ExitFeasibility,
  type ExitOutcome,
  feasibility,
  type FeasibilityOptions,
  type JudgeOptions,
  type OwnText,
  type ExitRecord,
  type GroupedDocument,
  playPolicy,
  playRuns,
  type PolicyOutcome,
  type PolicyRuns,
  recordDocuments,
  type RecordDocumentsOptions,
  type RunCandidates,
  runPolicies,
  type RunPoliciesOptions,
  type Subject,
  type Unit,
} from "./record/index.js";
export { fastestCertificate, tokenTime } from "./token-time.js";
export { type Verdict, type Verification, verifyCertificate, type VerifyOptions } from "./verify/index.js";
