/** Self-supervised training of heads and projections. */
export { changePreviews, type ChangePreviewsOptions } from "./change-previews.js";
export { createTeacher, type Teacher } from "./create-teacher.js";
export { fitMaps, type FitMapsOptions, SINK_POSITIONS } from "./fit-maps.js";
export { fitPreviews, type FitPreviewsOptions } from "./fit-previews.js";
export { fitProjections, type FitProjectionsOptions } from "./fit-projections.js";
export { headLoss, type HeadLoss, headLossDefaults } from "./head-loss.js";
export {
  coverageAt,
  type ExitQuality,
  type LevelQuality,
  type ListedLogits,
  measuredLevels,
  measureExits,
  type MeasureOptions,
  speedupAt,
} from "./measure-exits.js";
export { type AffineFit, RidgeFit, type SolveOptions } from "./ridge-fit.js";
export {
  type MeasureStep,
  trainDefaults,
  trainHeads,
  type TrainOptions,
  type TrainStep,
  type TrainSummary,
} from "./train-heads.js";
