/**
 * Thresholds from held-out text: certificates and their verification, audits, the published procedure.
 * @module early-exits/calibrate
 */
export { type AlarmOptions, type AlarmState, alarmWealth, createAlarm, stepAlarm } from "./audit/alarm.js";
export { Audit, type AuditOptions, type AuditReport, type AuditState, type FinishedText } from "./audit/audit.js";
export { type LossInterval, lossInterval } from "./audit/loss-interval.js";
export { binomialPmf, binomialTail } from "./bounds/binomial.js";
export { clopperPearsonLower, clopperPearsonUpper } from "./bounds/clopper-pearson.js";
export { errorFreeUnits, unitsNeeded } from "./bounds/units-needed.js";
export { hoeffdingBentkusPValue } from "./bounds/hoeffding-bentkus.js";
export { hoeffdingPValue, hoeffdingSlack, hoeffdingUpper } from "./bounds/hoeffding.js";
export { wsrPValue, wsrUpper } from "./bounds/wsr.js";
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
export { type AssumptionCode, type ClaimTerms, describeAssumption, describeClaim } from "./certificate/assumptions.js";
export {
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateDocument,
  type CertificateGroups,
  type CertificateSettings,
  type CertificateTest,
  checkCertificate,
} from "./certificate/certificate.js";
export type { CalibrationNotes, Dependence } from "./certify/notes.js";
export type { Certified } from "./certify/certify.js";
export type { CertifyPolicyOptions } from "./certify/settings.js";
export {
  calibratePaper,
  type CalibrationReport,
  type PaperCalibration,
  type PaperCalibrationOptions,
} from "./paper/calibrate-paper.js";
export { paperLevels, type PaperOptions, type PaperStrategy, paperThreshold } from "./paper/paper-threshold.js";
export { type Certification, certifyLosses, type CertifyOptions, fixedSequence } from "./procedures/certify-losses.js";
export { type ExitCosts, lossesOf, type LossMatrix, type Tally } from "./procedures/tally.js";
export type { CalibrationDocument, Counted, GroupedDocument, HashedDocument } from "./record/documents.js";
export { type CalibrationRecords, recordDocuments, type RecordDocumentsOptions } from "./record/record.js";
export type { DocumentCounts, OwnText, PolicyRuns, RunCandidates } from "./record/policy-runs.js";
export type { DocumentRecord, ExitRecord } from "./record/document-record.js";
export { type ExitFeasibility, feasibility, type FeasibilityOptions } from "./record/feasibility.js";
export { type ExitOutcome, playPolicy, playRuns, type PolicyOutcome } from "./record/outcome.js";
export type { JudgeOptions } from "./record/judge.js";
export { runPolicies, type RunPoliciesOptions } from "./record/run-policies.js";
export type { Subject } from "./record/subject.js";
export type { Unit } from "./record/split.js";
export { fastestCertificate, tokenTime } from "./token-time.js";
export { type Verdict, type Verification, verifyCertificate } from "./verify/verify.js";
export type { VerifyOptions } from "./verify/against-model.js";
