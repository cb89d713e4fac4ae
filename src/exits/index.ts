/**
 * Exit heads, their training, policies, early-exit and lossless decoding, and the costs of all of these.
 * @module early-exits/exits
 */
export { ChatSession, type ChatSessionOptions, type Turn, type TurnSummary } from "./chat-session.js";
export { blockCost, costOfRows, type CostsByRows, QUOTED_CONTEXT, type UnitCosts } from "./cost/unit-costs.js";
export { type CountName, type Counts, sumCounts } from "./cost/counts.js";
export { type DecodedRun, Ledger, type LedgerReport } from "./cost/ledger.js";
export {
  type MeasureUnitsOptions,
  measureUnitTimes,
  predictParts,
  predictTime,
  type TimeParts,
  type UnitTimes,
} from "./cost/unit-times.js";
export type { AtExit, DecodeEvent, DecodeObserver } from "./decode/observe.js";
export { type Drift, type DriftOptions, measureDrift } from "./decode/drift.js";
export { exactFill, type Fill, type FillMeter, type FillName, fillNames, isExactFill } from "./fill/fill.js";
export {
  type BatchGeneration,
  createDecoder,
  generate,
  generateBatch,
  type GenerateOptions,
  type GenerateSummary,
  type Generation,
  type LosslessOptions,
} from "./generate.js";
export { attachHeads, type AttachOptions } from "./heads/attach-heads.js";
export {
  type Confidence,
  confidenceAt,
  exitFires,
  orientScore,
  readConfidences,
  scoreAt,
  scoreDirection,
  type ScoreName,
  scoreNames,
  scoreOf,
  type Threshold,
} from "./heads/score.js";
export {
  defaultKind,
  headCost,
  type HeadKind,
  type HeadShape,
  type ModelSizes,
  type PreviewShape,
  usualHeads,
} from "./heads/head-shape.js";
export { deserializeHeads, loadHeads } from "./heads/deserialize-heads.js";
export type { ExitHead } from "./heads/exit-head.js";
export { ExitHeads } from "./heads/exit-heads.js";
export type { HeadDescription, HeadsDescription } from "./heads/heads-description.js";
export type { HeadWeights, Matrices } from "./heads/head-weights.js";
export { placeExits, type Placement } from "./heads/placement.js";
export { Projection, type ProjectionInput, projectionInputs } from "./heads/projection.js";
export { type SerializedHeads, serializeHeads } from "./heads/serialize-heads.js";
export {
  bestDraftLength,
  type BreakEven,
  breakEven,
  type BreakEvenRow,
  losslessCost,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
  planExits,
  type PlanExitsOptions,
  tokensPerRound,
} from "./plan/break-even.js";
export {
  type CertifiedFor,
  type CertifiedLoss,
  type CertifiedSampling,
  checkPolicy,
  createPolicy,
  type Policy,
  type PolicyExit,
  type PolicyOptions,
  type Reference,
  withFill,
} from "./plan/policy.js";
export type { BatchSource, HiddenBatch, Outcome } from "./states/batches.js";
export {
  cachedBatches,
  recordHidden,
  type RecordOptions,
  type ShardEvent,
  streamedBatches,
  type StreamOptions,
} from "./states/hidden-cache.js";
export type { CachedBatchOptions } from "./states/shard-batches.js";
export { type CacheStore, createShardWriter, type ShardOptions, type ShardWriter } from "./states/shards.js";
export { frequentTokens, type FrequentTokensOptions } from "./states/frequent-tokens.js";
export { type NormedStates, type RecordedStates, recordStates } from "./states/record-states.js";
export { sampleDocuments, type SampleOptions } from "./states/sample-documents.js";
export { type SelfAnswer, selfAnswers, type SelfAnswersOptions } from "./states/self-answers.js";
export { type AffineFit, RidgeFit, type SolveOptions } from "./train/ridge-fit.js";
export { changePreviews, type ChangePreviewsOptions } from "./train/change-previews.js";
export {
  coverageAt,
  type ExitQuality,
  type LevelQuality,
  type ListedLogits,
  measuredLevels,
  measureExits,
  type MeasureOptions,
  speedupAt,
} from "./train/measure-exits.js";
export { createTeacher, type Teacher } from "./train/create-teacher.js";
export { fitMaps, type FitMapsOptions, SINK_POSITIONS } from "./train/fit-maps.js";
export { fitPreviews, type FitPreviewsOptions } from "./train/fit-previews.js";
export { fitProjections, type FitProjectionsOptions } from "./train/fit-projections.js";
export { headLoss, type HeadLoss } from "./train/head-loss.js";
export {
  type MeasureStep,
  trainHeads,
  type TrainOptions,
  type TrainStep,
  type TrainSummary,
} from "./train/train-heads.js";
export { type DecodingPromise, type DecodingTerms, type NoPromise, promiseOf, requirePromise } from "./promise.js";
export { commonLength } from "../model/decode/common-length.js";
export { keepsExactKeys } from "./shared-beginning.js";
export { HeadsError, HiddenCacheError, PolicyError } from "../errors.js";
