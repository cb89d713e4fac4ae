/** File formats of tensors. */
export { decodeFloat32, type SafetensorsDtype, safetensorsDtypes, type TensorArray } from "./dtype.js";
export { type SafetensorsErrorCode, safetensorsErrorCodes } from "./errors.js";
export { bf16ToFloat32, f16ToFloat32, float32ToBf16, float32ToF16 } from "./half-floats.js";
export {
  type HeaderOptions,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsHeaderLength,
  type TensorInfo,
} from "./header.js";
export { parseSafetensors, type Safetensors } from "./safetensors.js";
export { type SafetensorsInput, serializeSafetensors } from "./serialize-safetensors.js";
export {
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
} from "./gguf/index.js";
export { type StoredDtype, storedDecoder, storedRowBytes } from "./stored.js";
