/** From counts per document to thresholds that keep the claim with probability 1 - delta. */
export {
  type Candidates,
  type Certification,
  certifyLosses,
  cheapest,
  type CertifyOptions,
  expectedCost,
  fixedSequence,
  planSequence,
  type TestSequence,
} from "./certify-losses.js";
export { proposeVectors } from "./propose.js";
export { byDocument, costsOf, type ExitCosts, type LossMatrix, lossesOf, type Tally, unitMeans } from "./tally.js";
export {
  lossesIn,
  orientThreshold,
  rawThreshold,
  tallyVectors,
  type ThresholdVector,
  type TokenLosses,
  type TokenTable,
} from "./token-table.js";
