/** Plain decoding: choosing tokens, sampling, stop strings, and the text as it grows. */
export {
  type Choice,
  createSampler,
  type Decoder,
  lastStates,
  logitsNeeded,
  plainDecoder,
  type Request,
  type Round,
  type Sampler,
} from "./decoder.js";
export { commonLength } from "./common-length.js";
export { exponential } from "./exponential.js";
export { type FinalLogits, finalLogits, type OnLogits, rowOf } from "./final-logits.js";
export {
  type BatchGeneration,
  type BatchOptions,
  generateBatchWith,
  generateWith,
  type Generation,
} from "./generate.js";
export { nonFiniteError } from "./non-finite.js";
export { type Prompt, type PromptOptions, readPrompt } from "./prompt.js";
export {
  argmaxOf,
  canonicalSampling,
  checkSampling,
  describeSampling,
  isPlainGreedy,
  processedDistribution,
  sameSampling,
  sampleFrom,
  samplingDefaults,
  type SamplingOptions,
} from "./sampling.js";
export type { OpenText, SequenceStore } from "./sequence-store.js";
export { chatDefaults, generateDefaults, type GenerateOptions, type PlannedText, planText } from "./text.js";
export { LOSS_UNIT, totalVariation } from "./total-variation.js";
export type { FinishReason, GeneratedToken, TextSummary } from "./writer.js";
export { type ActiveText, WritingLoop, type Written } from "./writing-loop.js";
