/** Self-supervised training of heads, gates and projections. */
export { type BatchSource, disposeBatch, hiddenBatch, type HiddenBatch } from "./batches.js";
export { changeVocabulary } from "./change-vocabulary.js";
export { fitMaps, type FitMapsOptions, SINK_POSITIONS } from "./fit-maps.js";
export { fitPreviews, type FitPreviewsOptions } from "./fit-previews.js";
export { fitProjections, type FitProjectionsOptions } from "./fit-projections.js";
export { frequentTokens } from "./frequent-tokens.js";
export { cachedBatches, type CacheStore, recordHidden, type RecordOptions } from "./hidden-cache.js";
export { headLoss, type HeadLoss, headLossDefaults } from "./head-loss.js";
export { refineProjections, type RefineProjectionsOptions, type RefineStep } from "./refine-projections.js";
export { type AffineFit, RidgeFit } from "./ridge-fit.js";
export { sampleDocuments, type SampleOptions } from "./sample-documents.js";
export { createTeacher } from "./create-teacher.js";
export { type GateStep, trainGates, type TrainGatesOptions } from "./train-gates.js";
export { trainDefaults, trainHeads, type TrainOptions, type TrainStep, type TrainSummary } from "./train-heads.js";
