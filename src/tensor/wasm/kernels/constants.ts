/** Numbers that host code and kernels share. AssemblyScript compiles this file too: plain constants alone. */

/** Kinds of operands: panels (products/panels.as.ts) of W. */
export const PANELS_F32 = 0;
export const PANELS_BF16 = 1;
/** A plain matrix [K, N]. */
export const MATRIX = 2;
/** A plain matrix [N, K]. */
export const MATRIX_TRANSPOSED = 3;
/** Panels of W [K, N] read across: the product with W itself, not its transpose (backward). */
export const ACROSS_F32 = 4;
export const ACROSS_BF16 = 5;
export const ACROSS_INT8 = 6;
/** int4 with float16 or float32 scales and minimums, or float16 scales and minimums of -8 times those. */
export const NIBBLE_HALVES = 7;
export const NIBBLE_FLOATS = 8;
export const NIBBLE_CENTRED = 9;

/** Bytes of sixteen columns of W for 32 k, by kind: products/layout.as.ts. */
export const INT8_GROUP = 576;
export const NIBBLE_HALVES_GROUP = 320;
export const NIBBLE_FLOATS_GROUP = 384;
export const NIBBLE_CENTRED_GROUP = 288;

/** Places at which few rows read W in turns, at most: products/products.as.ts. */
export const MOST_PLACES = 4;

/** ggml's numbers of the types that products/blocks.as.ts packs. */
export const F32 = 0;
export const F16 = 1;
export const Q4_0 = 2;
export const Q4_1 = 3;
export const Q5_0 = 6;
export const Q8_0 = 8;
export const Q4_K = 12;
export const Q6_K = 14;
export const BF16 = 30;

/** products/integers/dots.as.ts. */
export const DOT = 0;
export const PAIRS = 1;
export const EXACT = 2;

/** attention/cache.as.ts. */
export const CACHE_F32 = 0;
export const CACHE_BF16 = 1;
export const CACHE_INT8 = 2;

/** elementwise.as.ts, of two tensors and of one. */
export const ADD = 0;
export const SUB = 1;
export const MUL = 2;
export const GELU = 0;
export const GELU_TANH = 1;
export const SILU = 2;
export const RELU = 3;

/** Quads of k that share a scale of a screened state: screening/coarse.as.ts. */
export const SEGMENT_QUADS = 512;

/** Of each instance of the module: `setScratch`. */
export const SCRATCH_BYTES = 4096;
