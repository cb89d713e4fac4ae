/**
 * The frozen language model: folders, tokenizers, the transformer over a KV cache, decoding, pretraining.
 * @module early-exits/model
 */
export { advance, prefill, type PrefillOptions, statesOf, type Work, writeKeyValues } from "./advance.js";
export {
  type Attend,
  attendCached,
  attendWhole,
  type CachedRows,
  type ForwardOptions,
  type KeysAndValues,
  keyValueOf,
  normalize,
  project,
  runBlock,
  wholeKeys,
  type WholeRows,
  writeKeys,
} from "./block.js";
export {
  type ChatMessage,
  type ChatOptions,
  type ChatRole,
  type ChatTemplate,
  type ChatTokenizer,
  encodeChat,
  renderChat,
  type TokenSpellings,
} from "./chat/index.js";
export { memorySource, type Part, type TensorSource } from "./checkpoint.js";
export {
  type Activation,
  type AttentionConfig,
  attentionOf,
  keyValueLayers,
  type LinearRopeScaling,
  type Llama3RopeScaling,
  type LongRopeScaling,
  type ModelConfig,
  type ModelType,
  type RotaryConfig,
  type YarnRopeScaling,
} from "./config.js";
export { createModel, type CreateModelOptions } from "./create.js";
export {
  argmaxOf,
  type BatchOptions,
  canonicalSampling,
  type Choice,
  type Decoder,
  describeSampling,
  type FinishReason,
  type GeneratedToken,
  LOSS_UNIT,
  processedDistribution,
  type Prompt,
  type PromptOptions,
  type Request as DecodingRequest,
  type Round,
  sameSampling,
  sampleFrom,
  type Sampler,
  type SamplingOptions,
  type TextSummary,
  totalVariation,
} from "./decode/index.js";
export {
  answerDocument,
  batchWindows,
  cutDocuments,
  cutWindows,
  type Document,
  type MarkedDocument,
  markedDocument,
  markedWindows,
  splitDocuments,
  type SplitOptions,
  type Window,
} from "./documents.js";
export { type LlamaConfig, llamaConfigJson, type ReadConfigOptions, readModelConfig } from "./families/index.js";
export { type Budgets, budgetsWith, defaultBudgets } from "../budgets.js";
export {
  type BudgetOptions,
  checkManifest,
  type CheckpointDescription,
  checkWeights,
  type CheckWeightsOptions,
  type DamagedTensor,
  chooseUnembedding,
  type ChoiceOptions,
  describeCheckpoint,
  fileJson,
  type FileJsonOptions,
  fileTensors,
  type Folder,
  type FolderFile,
  folderTensors,
  folderTokenizer,
  loadFolder,
  loadModel,
  type LoadModelOptions,
  type Manifest,
  MANIFEST,
  type ManifestEntry,
  manifestOf,
  type LoadProgress,
  type MisshapenTensor,
  parseJson,
  serializeModel,
  type SerializeOptions,
} from "./files/index.js";
export { ggufFileTokenizer, loadGguf, openGguf, type OpenedGguf, type OpenSibling } from "./gguf/index.js";
export { type HubName, hubUrl, isHubName, parseHubName } from "./hub/index.js";
export { countAttended, type ScreenedUnembed, type WorkMeter } from "./meter.js";
export { Model, type ModelParts, storageOf, type StoredAs } from "./model.js";
export {
  evaluateLoss,
  pretrain,
  type PretrainOptions,
  type PretrainStep,
  type RecipeName,
  recipeNames,
  type RecipeOptions,
  recipeOptions,
  type Supervision,
  tokenStream,
} from "./pretrain/index.js";
export { rotaryTable } from "./rotary.js";
export {
  type BestToken,
  type LargestLogits,
  ScreenedUnembedding,
  type ScreenedWork,
  type UnembeddingKind,
} from "./screened-unembedding.js";
export { blockCacheBytes, cacheBytesPerPosition, type CloneOptions, type KeptBatch, Sequence } from "./sequence.js";
export { sha256 } from "./sha256.js";
export {
  type BpeOptions,
  type ByteLevelBpe,
  byteTokenizer,
  huggingFaceTokenizer,
  type TextParts,
  type TokenizerOptions,
  type Tokenizer,
  type TokenStream,
  trainByteLevelBpe,
} from "./tokenizer/index.js";
export {
  allWeights,
  type BlockWeights,
  bytesOf,
  companionDtype,
  countParameters,
  type LinearWeights,
  type Matrix,
  type ModelDtype,
  modelDtypes,
  type ModelWeights,
  multiplyAddsOf,
  type NormWeights,
  storedBytes,
  type UnitWork,
} from "./weights.js";
export type { CancelSignal } from "../cancel-signal.js";
export { BudgetError, HubError, ModelError, NumericsError, TemplateError, TokenError } from "../errors.js";
