/**
 * Thresholds from held-out text: certificates and their verification, audits, the published procedure.
 * @module early-exits/calibrate
 */
export { Audit, type AuditOptions, type AuditReport, type AuditState, type FinishedText } from "./audit/audit.js";
export {
  calibrate,
  type CalibrateAnswersOptions,
  type CalibrateOptions,
  calibrateRecords,
  proposeThresholds,
} from "./calibrate.js";
export { describeAssumption, describeClaim } from "./certificate/assumptions.js";
export type { Certificate } from "./certificate/certificate.js";
export type { Dependence } from "./certify/dependence.js";
export type { CalibrationNotes } from "./certify/write-certificate.js";
export type { Certified } from "./certify/certify.js";
export type { CertifyPolicyOptions } from "./certify/settings.js";
export { checkCertificate, policyFrom } from "./open-policy.js";
export { calibratePaper, type PaperCalibration, type PaperCalibrationOptions } from "./paper/calibrate-paper.js";
export { paperThreshold } from "./paper/paper-threshold.js";
export type { Answer, AnswerLoss, AnswerTask } from "./record/answers/losses.js";
export type { CalibrationDocument, GroupedDocument } from "./record/documents.js";
export { type CalibrationRecords, recordDocuments, type RecordDocumentsOptions } from "./record/record.js";
export { type ExitFeasibility, feasibility } from "./record/feasibility.js";
export { playPolicy, type PolicyOutcome } from "./record/outcome.js";
export { runPolicies } from "./record/run-policies.js";
export { fastestCertificate } from "./token-time.js";
export { type Verification, verifyCertificate } from "./verify/verify.js";
export type { VerifyOptions } from "./verify/against-model.js";
