/**
 * The frozen language model: folders, tokenizers, the transformer over a KV cache, decoding, pretraining.
 * @module early-exits/model
 */
export { advance, type Work } from "./advance.js";
export type { ChatMessage } from "./chat/messages.js";
export type { ChatOptions } from "./chat/render-chat.js";
export { encodeChat } from "./chat/encode-chat.js";
export { memorySource, type TensorSource } from "./checkpoint.js";
export { attentionOf, keyValueLayers, type ModelConfig, type RotaryConfig } from "./config.js";
export { createModel } from "./create.js";
export { argmaxOf, describeSampling, sampleFrom, type SamplingOptions } from "./decode/sampling.js";
export type { Decoder, Request as DecodingRequest, Round, Sampler } from "./decode/decoder.js";
export type { FinishReason, GeneratedToken, TextSummary } from "./decode/writer.js";
export { type Prompt, readPrompt } from "./decode/prompt.js";
export { type PlannedText, planText } from "./decode/text.js";
export { type ActiveText, WritingLoop } from "./decode/generate.js";
export { giveTurn } from "../turns.js";
export { answerDocument, cutDocuments, type Document, type MarkedDocument, splitDocuments } from "./documents.js";
export { llamaConfigJson, readModelConfig } from "./families/families.js";
export { type Budgets, budgetsWith } from "../budgets.js";
export type { Folder, FolderFile } from "./files/folder.js";
export { checkWeights, type DamagedTensor } from "./files/check-weights.js";
export { logitLens, type LensToken } from "./logit-lens.js";
export { loadModel, type LoadModelOptions, type LoadProgress } from "./files/load.js";
export { memoryNeeds } from "./files/memory.js";
export { serializeModel } from "./files/serialize.js";
export { isHubName, parseHubName } from "./hub/hub-name.js";
export type { WorkMeter } from "./meter.js";
export { Model, storageOf, type StoredAs } from "./model.js";
export { pretrain, type PretrainOptions, type PretrainStep, tokenStream } from "./pretrain/pretrain.js";
export { rotaryTable } from "./rotary.js";
export type { UnembeddingKind } from "./screened-unembedding.js";
export { cacheBytesPerPosition, Sequence } from "./sequence.js";
export { trainByteLevelBpe } from "./tokenizer/bpe.js";
export { huggingFaceTokenizer } from "./tokenizer/hugging-face-tokenizer.js";
export type { Tokenizer } from "./tokenizer/tokenizer.js";
export {
  allWeights,
  type BlockWeights,
  countParameters,
  type LinearWeights,
  type Matrix,
  type ModelDtype,
  modelDtypes,
  type NormWeights,
  storedBytes,
} from "./weights.js";
