/** Text to token ids and back. */
export { type BpeOptions, type ByteLevelBpe, trainByteLevelBpe } from "./bpe.js";
export type { TextParts } from "./encode-parts.js";
export { byteTokenizer, huggingFaceTokenizer, type Tokenizer, type TokenStream } from "./tokenizer.js";
