/** GGUF files: metadata, tensors, and their blocks as float32. */
export { type GgufLimits, type GgufNumbers } from "./cursor.js";
export { decodeGguf } from "./decode.js";
export { loadGgufDecoder, loadGgufIntegers } from "./late.js";
export { type GgufHeader, type GgufTensor, type GgufValue, parseGgufHeader } from "./header.js";
export { ggufBlock, type GgufType, ggufTypes, integerForm, isGgufType } from "./types.js";
