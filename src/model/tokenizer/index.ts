/** Text to token ids and back; training of a byte-level BPE vocabulary. */
export { type BpeOptions, type ByteLevelBpe, trainByteLevelBpe } from "./bpe.js";
export { byteTokenizer } from "./byte-tokenizer.js";
export { huggingFaceTokenizer, type TokenizerOptions } from "./hugging-face-tokenizer.js";
export type { TextParts, Tokenizer, TokenStream } from "./tokenizer.js";
