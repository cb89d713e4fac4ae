/**
 * Continuous batching: requests that come and go between tokens share one model, and each text is what `generate`
 * writes for it alone.
 * @module early-exits/serve
 */
export { Batcher } from "./batcher.js";
export type { BatcherOptions, BatcherState, TextRequest } from "./batcher-options.js";
export { type ServedSummary, type ServedText, type ServedToken } from "./served-text.js";
export { type LikelyToken, type TokenLogprobs } from "./logprobs.js";
export type { ServedWays, ServingMode } from "./ways.js";
export { type RunningServer, serveModel, type ServeOptions } from "./serve-model.js";
export { ServeError } from "./serve-error.js";
