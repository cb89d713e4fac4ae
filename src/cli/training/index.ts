/** Training runs that survive an interrupt: of a model, and of heads. */
export {
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  type PretrainReport,
  type PretrainSettings,
} from "./pretrain-folder.js";
export {
  fitHeadMaps,
  fitKeysAndValues,
  type HeadRecipe,
  type LearningCurve,
  recordAndRead,
  sampleText,
  trainExitGates,
  trainExitHeads,
} from "./train-heads.js";
export { openRun, type TrainingRun } from "./training-run.js";
