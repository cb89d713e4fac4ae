/**
 * Arrays on a device, autograd and training: knows nothing of language models.
 * @module early-exits/tensor
 */
export { type Backward, backward, backwardInParts, record, requireDevice } from "./autograd.js";
export { choleskyFactor, solveSymmetric } from "./cholesky.js";
export { topEigenvectors, topSingularVectors } from "./top-eigenvectors.js";
export { coarseBytes } from "./coarse-bytes.js";
export { createDeviceOn } from "./create-device.js";
export {
  type AdamwStep,
  type AttentionDims,
  type Backend,
  type BinaryOp,
  type CacheDtype,
  type CacheSegment,
  type CacheStorage,
  type CoarseStorage,
  type Device,
  type DeviceInfo,
  type Kernels,
  type MatmulDims,
  type PackedDtype,
  type PackedStorage,
  type ProductBounds,
  type Rope,
  ROW_STATS,
  type Screening,
  type Storage,
  type UnaryOp,
  type WeightDtype,
  cacheDtypes,
  weightDtypes,
} from "./device.js";
export type {
  AdapterWish,
  CreateDeviceOptions,
  DeviceName,
  GpuMode,
  GpuOptions,
  WasmBuild,
  WasmOptions,
} from "./device-options.js";
export {
  bf16ToFloat32,
  decodeFloat32,
  f16ToFloat32,
  float32ToBf16,
  float32ToF16,
  type HeaderOptions,
  parseSafetensors,
  parseSafetensorsHeader,
  type Safetensors,
  type SafetensorsDtype,
  safetensorsDtypes,
  type SafetensorsErrorCode,
  safetensorsErrorCodes,
  type SafetensorsHeader,
  safetensorsHeaderLength,
  type SafetensorsInput,
  serializeSafetensors,
  type TensorArray,
  type TensorInfo,
  decodeGguf,
  ggufBlock,
  type GgufHeader,
  type GgufLimits,
  type GgufNumbers,
  type GgufTensor,
  type GgufType,
  ggufTypes,
  type GgufValue,
  parseGgufHeader,
  type StoredDtype,
} from "./formats/index.js";
export { type IntegerRows, integerValues, roundToIntegers } from "./integer-rows.js";
export type { Host, HostWorker, WebGpuAdapter, WebGpuEntry } from "./host.js";
export {
  add,
  argmax,
  type AttentionOptions,
  causalAttention,
  columns,
  concatRows,
  crossEntropy,
  detach,
  embedding,
  exp,
  gelu,
  geluTanh,
  klDivergence,
  layerNorm,
  linear,
  linearAt,
  type LinearOptions,
  logSoftmax,
  matmul,
  type MatmulOptions,
  mean,
  mul,
  type ReduceOptions,
  relu,
  reshape,
  rmsNorm,
  rope,
  type RopeTable,
  rowArgmax,
  rowStats,
  scale,
  silu,
  sliceRows,
  softmax,
  sub,
  sum,
  swiglu,
  takeAlongRows,
} from "./ops/index.js";
export { Adamw, type AdamwOptions, type AdamwState, cosineSchedule, type ScheduleOptions } from "./optim/index.js";
export { createReferenceDevice, type ReferenceOptions } from "./reference/index.js";
export { createRng, type Rng, type RngState } from "./rng.js";
export { formatShape, sameShape, type Shape, sizeOf } from "./shape.js";
export { type GradientNode, keep, PackedMatrix, scope, scopeInParts, Tensor } from "./tensor.js";
export { atOnce, inTurns, type InParts } from "../turns.js";
export { DeviceError, GgufError, SafetensorsError, ShapeError } from "../errors.js";
