/** Training runs that survive an interrupt. */
export { ANSWERS_TOGETHER, holdOut, openSources, sampleAnswers } from "./head-data.js";
export { depthsOf, type HeadRecipe, recipeDefaults, recipeFor } from "./head-recipe.js";
export {
  fitHeadMaps,
  fitHeadPreviews,
  fitKeysAndValues,
  type HeadTraining,
  type LearningCurve,
  measureHeld,
  qualityLines,
  sampleText,
  trainExitHeads,
} from "./train-heads.js";
export { type Append, openLog } from "./training-log.js";
export { openRun, type TrainingRun } from "./training-run.js";
