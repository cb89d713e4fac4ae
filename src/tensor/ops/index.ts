/** The ops, in reading order. Each checks shapes, calls one kernel, and records its gradient. */
export { linear, linearAt, type LinearOptions, matmul, type MatmulOptions } from "./matmul.js";
export { add, detach, mul, scale, sub } from "./arithmetic.js";
export { exp, gelu, geluTanh, relu, silu, swiglu } from "./activation.js";
export { logSoftmax, softmax } from "./softmax.js";
export { layerNorm, rmsNorm, rmsNormHeads } from "./norm.js";
export { rope, type RopeTable } from "./rope.js";
export { type AttentionOptions, causalAttention } from "./attention.js";
export { embedding } from "./embedding.js";
export { crossEntropy, klDivergence } from "./loss.js";
export { columns, concatRows, reshape, sliceRows, takeAlongRows } from "./select.js";
export { largestColumns } from "./largest.js";
export { argmax, mean, type ReduceOptions, rowArgmax, rowStats, sum } from "./reduce.js";
