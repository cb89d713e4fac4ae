/** Models from and to files: a folder, a checkpoint and its description, the weights as a file. */
export { checkWeights, type CheckWeightsOptions, type DamagedTensor } from "./check-weights.js";
export { chooseUnembedding, type ChoiceOptions } from "./choose-unembedding.js";
export { type CheckpointDescription, describeCheckpoint, type MisshapenTensor } from "./describe.js";
export {
  type BudgetOptions,
  fileJson,
  type FileJsonOptions,
  fileTensors,
  type Folder,
  type FolderFile,
  folderTensors,
  folderTokenizer,
  loadFolder,
  parseJson,
} from "./folder.js";
export { checkManifest, MANIFEST, type Manifest, type ManifestEntry, manifestOf } from "./manifest.js";
export { loadModel, type LoadModelOptions, type LoadProgress } from "./load.js";
export { serializeModel, type SerializeOptions } from "./serialize.js";
