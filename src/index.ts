/**
 * The public API, in reading order. Devices and files are in "early-exits/node" and "early-exits/browser".
 * @module early-exits
 */
export * from "./errors.js";
export * from "./tensor/safetensors.js";
export * from "./tensor/device.js";
export * from "./tensor/rng.js";
export type { Shape } from "./tensor/shape.js";
export * from "./tensor/tensor.js";
export * from "./tensor/autograd.js";
export * from "./tensor/ops/index.js";
export * from "./tensor/optim.js";
export { createReferenceDevice, type ReferenceOptions } from "./tensor/reference/reference-device.js";
export * from "./model/tokenizer.js";
export { type BpeOptions, type ByteLevelBpe, trainByteLevelBpe } from "./model/bpe.js";
export type {
  Activation,
  LinearRopeScaling,
  Llama3RopeScaling,
  ModelConfig,
  ModelType,
  RotaryConfig,
} from "./model/config.js";
export { memorySource, type TensorSource } from "./model/checkpoint.js";
export {
  type BlockWeights,
  countParameters,
  type LinearWeights,
  type Matrix,
  type ModelWeights,
  type NormWeights,
} from "./model/weights.js";
export { readModelConfig } from "./model/families/index.js";
export { type CheckpointDescription, describeCheckpoint } from "./model/describe.js";
export { type ForwardOptions, loadModel, type LoadModelOptions, Model, type ModelParts } from "./model/model.js";
export { type Folder, type FolderFile, folderTensors, folderTokenizer, loadFolder } from "./model/folder.js";
export { Sequence } from "./model/sequence.js";
export { advance, type Work } from "./model/advance.js";
export { argmaxOf, processedDistribution, sampleFrom, type SamplingOptions } from "./model/sampling.js";
export type { BatchOptions } from "./model/generate.js";
export type { WorkMeter } from "./model/meter.js";
export type { FinishReason, GeneratedToken, TextSummary } from "./model/writer.js";
export { placeExits, type Placement } from "./exits/placement.js";
export { type HeadKind, headKinds, type HeadShape } from "./exits/head-kinds.js";
export {
  attachHeads,
  type AttachOptions,
  deserializeHeads,
  ExitHeads,
  type HeadDescription,
  type HeadsDescription,
  type SerializedHeads,
  serializeHeads,
} from "./exits/heads.js";
export { loadHeads } from "./exits/heads-folder.js";
export { ExitHead } from "./exits/exit-head.js";
export { Gate, type GateWeights } from "./exits/gate.js";
export { frequentTokens } from "./exits/shortlist.js";
export { Projection, type ProjectionInput, projectionInputs } from "./exits/projection.js";
export { type Drift, type DriftOptions, measureDrift } from "./exits/drift.js";
export { type FitProjectionsOptions, fitProjections } from "./exits/fit-projections.js";
export { refineProjections, type RefineProjectionsOptions, type RefineStep } from "./exits/refine-projections.js";
export {
  type Confidence,
  confidenceAt,
  exitFires,
  type ExitWords,
  type LogitScore,
  logitScores,
  readConfidences,
  scoreAt,
  scoreDirection,
  type ScoreName,
  scoreNames,
  scoreOf,
  type Threshold,
} from "./exits/score.js";
export { cutDocuments, type Document, splitDocuments, type SplitOptions } from "./exits/documents.js";
export { type HeadLoss, headLoss } from "./exits/loss.js";
export { createTeacher, type Teacher } from "./exits/teacher.js";
export type { BatchSource, HiddenBatch } from "./exits/batches.js";
export { type GateStep, trainGates, type TrainGatesOptions } from "./exits/train-gates.js";
export { trainHeads, type TrainOptions, type TrainStep, type TrainSummary } from "./exits/train.js";
export { cachedBatches, type CacheStore, recordHidden, type RecordOptions } from "./exits/hidden-cache.js";
export { sampleDocuments, type SampleOptions } from "./exits/self-text.js";
export { exactFill, type Fill, type FillName, fillNames, isExactFill } from "./exits/fill.js";
export {
  blockCost,
  type CountName,
  type Counts,
  type DecodedRun,
  headCost,
  Ledger,
  type LedgerReport,
  QUOTED_CONTEXT,
  sumCounts,
  type UnitWork,
} from "./exits/ledger.js";
export {
  bestDraftLength,
  breakEven,
  type BreakEven,
  type ExitPlan,
  losslessCost,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
  planExits,
  type PlanExitsOptions,
  type PlanFill,
  planFills,
  tokensPerRound,
} from "./exits/break-even.js";
export { costOfRows, type CostsByRows, type UnitCosts } from "./exits/unit-costs.js";
export { measureUnitTimes, type MeasureUnitsOptions, predictTime, type UnitTimes } from "./exits/unit-times.js";
export {
  type CertifiedFor,
  checkPolicy,
  createPolicy,
  type Policy,
  type PolicyExit,
  type PolicyOptions,
  withFill,
} from "./exits/policy.js";
export type { AtExit, DecodeEvent, DecodeObserver } from "./exits/observe.js";
export {
  checkLossless,
  type CheckLosslessOptions,
  type LosslessCheck,
  type LosslessDifference,
} from "./exits/check-lossless.js";
export type { AcceptanceClass, DraftAcceptance } from "./exits/draft-gain.js";
export type { DraftLengthOptions } from "./exits/draft-length.js";
export type { PromptLookupOptions } from "./exits/prompt-lookup.js";
export {
  type BatchGeneration,
  generate,
  generateBatch,
  type GenerateOptions,
  type GenerateSummary,
  type Generation,
  type LosslessOptions,
} from "./exits/generate.js";
export {
  type CalibrationRecords,
  type DocumentRecord,
  type ExitRecord,
  recordDocuments,
  type RecordDocumentsOptions,
} from "./calibrate/record.js";
export { paperLevels, type PaperOptions, type PaperStrategy, paperThreshold } from "./calibrate/paper.js";
export type { Subject } from "./calibrate/subject.js";
export type { ExitCosts } from "./calibrate/candidates.js";
export { type ExitOutcome, playPolicy, type PolicyOutcome } from "./calibrate/outcome.js";
export {
  type DraftingOutcome,
  type DraftingRecords,
  playDrafting,
  type PlayDraftingOptions,
  recordDrafting,
  type RecordDraftingOptions,
} from "./calibrate/play-drafting.js";
export {
  cheapestDrafting,
  draftingFrom,
  tuneDrafting,
  type TuneDraftingOptions,
  type TunedDrafting,
} from "./calibrate/tune-drafting.js";
export type { CalibrationReport, PaperCalibration, PaperCalibrationOptions } from "./calibrate/paper-calibration.js";
export {
  calibrate,
  type CalibrateOptions,
  calibrateRecords,
  calibrateRuns,
  type PaperCalibrateOptions,
  policyFrom,
} from "./calibrate/calibrate.js";
export type { Certified, CertifyPolicyOptions } from "./calibrate/certify.js";
export {
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateTest,
  checkCertificate,
  type CertifiedProcedure,
  type Claim,
  type Unit,
} from "./calibrate/certificate.js";
export { type Verification } from "./calibrate/verify-certificate.js";
export { verifyCertificate, type VerifyOptions } from "./calibrate/verify.js";
export {
  aciBound,
  type AciOptions,
  type AciState,
  type AlarmOptions,
  type AlarmState,
  createAci,
  createAlarm,
  createOnline,
  onlineRecalibration,
  type OnlineRecalibration,
  type OnlineState,
  stepAci,
  stepAlarm,
  thresholdsOf,
} from "./calibrate/online.js";
export {
  type AgreementReport,
  type CurvePoint,
  type DepthAndCost,
  type ExitReport,
  reportAgreement,
  type ReportOptions,
  type ScoreQuality,
} from "./calibrate/report.js";
export {
  type DocumentCounts,
  type PolicyRuns,
  type RunCandidates,
  runPolicies,
  type RunPoliciesOptions,
} from "./calibrate/policy-runs.js";
export {
  fromReleasedCalibration,
  type ReleasedCalibration,
  type ReleasedOptions,
  type ReleasedStatistics,
  toReleasedCalibration,
} from "./calibrate/released.js";
export { evaluate, type EvaluatedWay, type EvaluateOptions, type Evaluation } from "./evaluate/evaluate.js";
export type { Estimate, Estimates, MetricName, WayEstimates } from "./evaluate/metrics.js";
export { type AnswerChoice, parseTaskLine, type TaskItem, type TaskKind, taskKinds } from "./evaluate/tasks.js";
export { libraryVersion } from "./version.js";
export { createModel, type CreateModelOptions, llamaConfigJson, serializeModel } from "./model/create.js";
export { type RecipeName, recipeNames, recipeOptions } from "./model/recipes.js";
export {
  evaluateLoss,
  pretrain,
  type PretrainOptions,
  type PretrainStep,
  type Supervision,
  tokenStream,
} from "./model/pretrain.js";
export * from "./calibrate/bounds/index.js";
export {
  bonferroni,
  conformalRiskControl,
  fixedSequence,
  type LossMatrix,
  type RiskControlResult,
} from "./calibrate/testing.js";
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
} from "./calibrate/certify-losses.js";
