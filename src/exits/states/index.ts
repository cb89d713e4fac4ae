/** States of the frozen model to learn from: batches, recordings, and text that the model writes itself. */
export { byParts, type PartsOptions } from "./by-parts.js";
export {
  type BatchSource,
  batchSource,
  disposeBatch,
  hiddenBatch,
  type HiddenBatch,
  type Outcome,
  statesAt,
} from "./batches.js";
export { locatedIn, nonFiniteRow, requireFiniteTeacher } from "./finite-teacher.js";
export { frequentTokens, type FrequentTokensOptions, topIdsOf } from "./frequent-tokens.js";
export {
  type CacheDescription,
  cachedBatches,
  recordHidden,
  type RecordOptions,
  type ShardEvent,
  streamedBatches,
  type StreamOptions,
} from "./hidden-cache.js";
export { type NormedStates, outcomeOf, recordStates, type RecordedStates } from "./record-states.js";
export { sampleDocuments, type SampleOptions } from "./sample-documents.js";
export { type SelfAnswer, selfAnswers, type SelfAnswersOptions } from "./self-answers.js";
export type { CachedBatchOptions } from "./shard-batches.js";
export { type CacheStore, createShardWriter, type ShardOptions, type ShardWriter } from "./shards.js";
