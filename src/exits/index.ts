/**
 * Exit heads, their training, policies, early-exit and lossless decoding, and the costs of all of these.
 * @module early-exits/exits
 */
export { ChatSession, type ChatSessionOptions, keepsExactKeys, type TurnSummary } from "./chat-session.js";
export { blockCost } from "./cost/unit-costs.js";
export type { Counts, LedgerReport } from "./cost/ledger.js";
export { measureUnitTimes, predictTime, type UnitTimes } from "./cost/unit-times.js";
export type { DecodeObserver } from "./decode/observe.js";
export { exactFill, type FillName, fillNames, isExactFill } from "./fill/fill.js";
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
  type PreviewShape,
  previewSize,
  usualHeads,
} from "./heads/head-shape.js";
export type { ExitHead } from "./heads/exit-head.js";
export { ExitHeads } from "./heads/exit-heads.js";
export type { Matrices } from "./heads/head-weights.js";
export { placeExits } from "./heads/placement.js";
export { type ProjectionInput, projectionInputs } from "./heads/projection.js";
export { serializeHeads } from "./heads/serialize-heads.js";
export {
  bestDraftLength,
  type BreakEven,
  breakEven,
  type BreakEvenRow,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
  planExits,
  type PlanExitsOptions,
  tokensPerRound,
} from "./plan/break-even.js";
export { createPolicy, type Policy, type PolicyExit, type PolicyOptions, type Reference } from "./plan/policy.js";
export type { BatchSource } from "./states/batches.js";
export { cachedBatches, recordHidden, streamedBatches } from "./states/hidden-cache.js";
export { type CacheStore, createShardWriter, recordStates } from "./states/record-states.js";
export { frequentTokens } from "./states/frequent-tokens.js";
export { sampleDocuments, selfAnswers } from "./states/self-answers.js";
export { type ExitQuality, measureExits } from "./train/measure-exits.js";
export { measureDrafts } from "./train/measure-drafts.js";
export { fitMaps } from "./train/fit-maps.js";
export { fitPreviews } from "./train/fit-previews.js";
export { fitProjections } from "./train/fit-projections.js";
export { headLoss, type HeadLoss } from "./train/train-batch.js";
export { trainHeads, type TrainOptions, type TrainStep } from "./train/train-heads.js";
export { type DecodingPromise, type NoPromise, promiseOf, requirePromise } from "./promise.js";
export { commonLength } from "../model/decode/sequence-store.js";
export { PolicyError } from "../errors.js";
