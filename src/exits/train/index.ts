/** Self-supervised training of heads, gates and projections. */
export { type BatchSource, disposeBatch, hiddenBatch, type HiddenBatch, type Outcome } from "./batches.js";
export { fitProjections, type FitProjectionsOptions } from "./fit-projections.js";
export { frequentTokens, type FrequentTokensOptions } from "./frequent-tokens.js";
export {
  cachedBatches,
  type CachedBatchOptions,
  type CacheStore,
  createShardWriter,
  recordHidden,
  type RecordOptions,
  type ShardEvent,
  type ShardOptions,
  type ShardWriter,
  streamedBatches,
  type StreamOptions,
} from "./hidden-cache.js";
export { headLoss, type HeadLoss, headLossDefaults } from "./head-loss.js";
export { refineProjections, type RefineProjectionsOptions, type RefineStep } from "./refine-projections.js";
export {
  coverageAt,
  type ExitQuality,
  type LevelQuality,
  measuredLevels,
  measureExits,
  type MeasureOptions,
  speedupAt,
} from "./measure-exits.js";
export { type NormedStates, recordStates, type RecordedStates } from "./record-states.js";
export { type SelfAnswer, selfAnswers, type SelfAnswersOptions } from "./self-answers.js";
export { sampleDocuments, type SampleOptions } from "./sample-documents.js";
export { createTeacher } from "./create-teacher.js";
export { type GateStep, trainGates, type TrainGatesOptions } from "./train-gates.js";
export {
  type MeasureStep,
  trainDefaults,
  trainHeads,
  type TrainOptions,
  type TrainStep,
  type TrainSummary,
} from "./train-heads.js";
