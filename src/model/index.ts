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
export type { ChatMessage, ChatRole } from "./chat/messages.js";
export { type ChatOptions, type ChatTemplate, renderChat, type TokenSpellings } from "./chat/render-chat.js";
export { type ChatTokenizer, encodeChat } from "./chat/encode-chat.js";
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
  canonicalSampling,
  describeSampling,
  processedDistribution,
  sameSampling,
  sampleFrom,
  type SamplingOptions,
} from "./decode/sampling.js";
export type { BatchOptions } from "./decode/generate.js";
export type { Choice, Decoder, Request as DecodingRequest, Round, Sampler } from "./decode/decoder.js";
export type { FinishReason, GeneratedToken, TextSummary } from "./decode/writer.js";
export { LOSS_UNIT, totalVariation } from "./decode/total-variation.js";
export type { Prompt, PromptOptions } from "./decode/prompt.js";
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
export { type LlamaConfig, llamaConfigJson } from "./families/llama.js";
export { type ReadConfigOptions, readModelConfig } from "./families/families.js";
export { type Budgets, budgetsWith, defaultBudgets } from "../budgets.js";
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
} from "./files/folder.js";
export { checkManifest, type Manifest, MANIFEST, type ManifestEntry, manifestOf } from "./files/manifest.js";
export { type CheckpointDescription, describeCheckpoint, type MisshapenTensor } from "./files/describe.js";
export { checkWeights, type CheckWeightsOptions, type DamagedTensor } from "./files/check-weights.js";
export { type ChoiceOptions, chooseUnembedding } from "./files/choose-unembedding.js";
export { loadModel, type LoadModelOptions, type LoadProgress } from "./files/load.js";
export { serializeModel, type SerializeOptions } from "./files/serialize.js";
export { ggufFileTokenizer, loadGguf, type OpenedGguf, openGguf, type OpenSibling } from "./gguf/load-gguf.js";
export { type HubName, hubUrl, isHubName, parseHubName } from "./hub/hub-name.js";
export { countAttended, type ScreenedUnembed, type WorkMeter } from "./meter.js";
export { Model, type ModelParts, storageOf, type StoredAs } from "./model.js";
export {
  evaluateLoss,
  pretrain,
  type PretrainOptions,
  type PretrainStep,
  type Supervision,
  tokenStream,
} from "./pretrain/pretrain.js";
export { type RecipeName, recipeNames, type RecipeOptions, recipeOptions } from "./pretrain/recipes.js";
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
export { type BpeOptions, type ByteLevelBpe, trainByteLevelBpe } from "./tokenizer/bpe.js";
export { byteTokenizer } from "./tokenizer/byte-tokenizer.js";
export { huggingFaceTokenizer, type TokenizerOptions } from "./tokenizer/hugging-face-tokenizer.js";
export type { TextParts, Tokenizer, TokenStream } from "./tokenizer/tokenizer.js";
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
