/** From losses per document to thresholds that are valid with probability 1 - delta. */
export { certifyByExit, type ExitTest } from "./by-exit.js";
export { type Candidate, type ExitCosts, proposeOverall, proposeSelective } from "./candidates.js";
export {
  anyChangeLosses,
  type Certification,
  certifyLosses,
  type CertifyOptions,
  certifySelective,
  type MeanBound,
  overallLosses,
  type Procedure,
  type SelectiveCertification,
  type SelectiveOptions,
  type Tally,
} from "./certify-losses.js";
export {
  costsOf,
  expectedCost,
  nothing,
  planOverall,
  planSelective,
  startSelective,
  type TestSequence,
} from "./test-sequence.js";
export { bonferroni, conformalRiskControl, fixedSequence, type LossMatrix, type RiskControlResult } from "./testing.js";
export { rawThreshold, takeDocuments, tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";
