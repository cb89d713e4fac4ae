/** The module's exports. scripts/build-wasm.mjs compiles them to portable, relaxed and wide.generated.ts. */
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
export {
  attention,
  attentionBackward,
  attentionWorkBytes,
  cacheAttention,
  cacheRead,
  cacheWrite,
  keyBytes,
  roomBytes,
  rope,
  valueBytes,
} from "./attention/index.as";
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
export {
  blockBytes,
  integersAt,
  integerWorkBytes,
  linear,
  linearAt,
  linearIntegers,
  matmul,
  packBfloat16,
  packFloat32,
  packIntegers,
  panelBytes,
  probeDots,
  quantizedBytes,
  quantizeIntegers,
  roundBytes,
  setWay,
  setScratch,
  setWide,
  streamBytes,
  unpackRows,
} from "./products/index.as";
export { coarseBounds, coarseStateBytes, hasDots, largest, mayBeLargest, packCoarse } from "./screening/index.as";
export { probeDotProducts, probeExactProducts, probeFma, probePairProducts, probeRead, probeWide } from "./probes.as";
export { logSoftmax, logSoftmaxBackward, rowArgmax, rowStats, softmax, softmaxBackward } from "./rows.as";
