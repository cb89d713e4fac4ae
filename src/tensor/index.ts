/**
 * Arrays on a device, autograd and training: knows nothing of language models.
 * @module early-exits/tensor
 */
export { PackedMatrix, scope, Tensor } from "./tensor.js";
export { backward, record } from "./autograd.js";
export { createRng, type Rng } from "./rng.js";
export {
  type Backend,
  type CacheDtype,
  cacheDtypes,
  type Device,
  type PackedDtype,
  ROW_STATS,
  type WeightDtype,
} from "./device.js";
export type { CreateDeviceOptions, DeviceName } from "./device-options.js";
export { DeviceError } from "../errors.js";
export { createReferenceDevice } from "./reference/reference-device.js";
export { coarseBytes } from "./coarse-bytes.js";
export { sub } from "./ops/arithmetic.js";
export { argmax, rowStats, sum } from "./ops/reduce.js";
export { crossEntropy, klDivergence } from "./ops/loss.js";
export { linear, matmul } from "./ops/matmul.js";
export { softmax } from "./ops/softmax.js";
export { Adamw } from "./optim/optim.js";
export { parseSafetensors } from "./formats/safetensors.js";
export type { Shape } from "./shape.js";
