/** The module's exports, compiled by scripts/build-wasm.mjs to portable.generated.ts and relaxed.generated.ts. */
export {
  adamw,
  binaryFlat,
  binaryStrided,
  scale,
  swiglu,
  swigluBackward,
  unary,
  unaryBackward,
} from "./elementwise.as";
export { attention, attentionWorkBytes, cacheAttention } from "./attention/attention.as";
export { attentionBackward } from "./attention/backward.as";
export { cacheRead, cacheWrite, keyBytes, roomBytes, valueBytes } from "./attention/cache.as";
export { rope } from "./attention/rope.as";
export { crossEntropy, crossEntropyBackward, kl, klBackward } from "./losses.as";
export {
  copyRows,
  fillZeros,
  gather,
  scatterAdd,
  sumSquares,
  sumTo,
  takeAlongRows,
  takeAlongRowsBackward,
} from "./movement.as";
export { norm, normBackward } from "./norms.as";
export { blockBytes } from "./products/blocked.as";
export { probeDots, setWay } from "./products/integers/dots.as";
export {
  integersAt,
  integerWorkBytes,
  linearIntegers,
  quantizedBytes,
  quantizeIntegers,
} from "./products/integers/linear.as";
export { packIntegers, roundBytes } from "./products/integers/pack.as";
export { panelBytes } from "./products/layout.as";
export { packBfloat16, packFloat32, unpackRows } from "./products/panels.as";
export { linear, linearAt, matmul, streamBytes } from "./products/products.as";
export { setScratch } from "./products/tiles.as";
export { coarseBounds, coarseStateBytes, hasDots, packCoarse } from "./screening/coarse.as";
export { largest, mayBeLargest } from "./screening/largest.as";
export { logSoftmax, logSoftmaxBackward, rowArgmax, rowStats, softmax, softmaxBackward } from "./rows.as";
