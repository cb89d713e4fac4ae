/** Training runs that survive an interrupt: of a model, and of heads. */
export {
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  type PretrainReport,
  type PretrainSettings,
} from "./pretrain-folder.js";
export { holdOut, openSources, openStates, sampleAnswers, statesFolder } from "./head-data.js";
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
export { openRun } from "./training-run.js";
