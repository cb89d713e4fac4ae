/** The GPU kernels as sources for gpu.js. */
export { probabilityGradient, readersSum, rope, scores, weightedSum } from "./attention.kernel.js";
export {
  adamwStep,
  binaryDeep,
  binaryMatrix,
  binaryVector,
  firstMoment,
  scale,
  secondMoment,
  swiglu,
  swigluBackward,
  unary,
  unaryBackward,
} from "./elementwise.kernel.js";
export { functionText, type KernelSource } from "./kernel-source.js";
export { crossEntropy, crossEntropyBackward, klBackward, segmentKl } from "./losses.kernel.js";
export {
  columns,
  columnsBackward,
  copy,
  gather,
  join,
  joinColumns,
  overwrite,
  scatterAdd,
  slice,
  sumEight,
  sumEightSquares,
  sumMiddle,
  takeAlongRows,
  takeAlongRowsBackward,
} from "./movement.kernel.js";
export { gatherWeights, linear, linearBackward, matmul, matmulStack } from "./products.kernel.js";
export {
  logarithm,
  logSoftmax,
  logSoftmaxBackward,
  normalize,
  normalizeBackward,
  normalizedGradient,
  rowArgmax,
  rowStats,
  SEGMENT,
  segmentArgmax,
  segmentDot,
  segmentEntropy,
  segmentExp,
  segmentGain,
  segmentGainNormed,
  segmentMax,
  segmentMin,
  segmentSecond,
  segmentSpread,
  segmentSum,
  softmax,
  softmaxBackward,
} from "./rows.kernel.js";
