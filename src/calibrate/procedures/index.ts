/** From counts per document to thresholds that keep a claim with probability 1 - delta. */
export { type Candidate, costsOf, type ExitCosts } from "./candidate.js";
export { certifyByExit, type ExitTest } from "./certify-by-exit.js";
export { type Certification, certifyLosses, type CertifyOptions, type Procedure } from "./certify-losses.js";
export {
  certifySelective,
  excessLosses,
  type SelectiveCertification,
  type SelectiveOptions,
} from "./certify-selective.js";
export { conformalRiskControl, type RiskControlResult } from "./conformal-risk-control.js";
export { bonferroni, fixedSequence } from "./fixed-sequence.js";
export type { MeanBound } from "./mean-p-value.js";
export { proposeOverall } from "./propose-overall.js";
export { proposeSelective } from "./propose-selective.js";
export {
  anyChangeLosses,
  type Counts,
  createCounts,
  type LossMatrix,
  overallLosses,
  type Tally,
  unitMeans,
} from "./tally.js";
export {
  expectedCost,
  nothing,
  planOverall,
  planSelective,
  startSelective,
  type TestSequence,
} from "./test-sequence.js";
export {
  lossesIn,
  orientThreshold,
  rawThreshold,
  takeDocuments,
  tallyVectors,
  type ThresholdVector,
  type TokenLosses,
  type TokenTable,
} from "./token-table.js";
