/** Plain decoding: choosing tokens, sampling, stop strings, and the text as it grows. */
export {
  type Choice,
  createSampler,
  type Decoder,
  lastStates,
  type OnLogits,
  plainDecoder,
  type Request,
  type Round,
  rowOf,
} from "./decoder.js";
export {
  type BatchGeneration,
  type BatchOptions,
  chatDefaults,
  generateBatchWith,
  generateDefaults,
  type GenerateOptions,
  generateWith,
  type Generation,
} from "./generate.js";
export { type Prompt, type PromptOptions, readPrompt } from "./prompt.js";
export {
  argmaxOf,
  checkSampling,
  isPlainGreedy,
  processedDistribution,
  sampleFrom,
  samplingDefaults,
  type SamplingOptions,
} from "./sampling.js";
export { freshSequences, type OpenText, type SequenceStore } from "./sequence-store.js";
export type { FinishReason, GeneratedToken, TextSummary } from "./writer.js";
