/** File formats of tensors. */
export {
  bf16ToFloat32,
  decodeFloat32,
  f16ToFloat32,
  float32ToBf16,
  float32ToF16,
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
} from "./safetensors.js";
export {
  decodeGguf,
  ggufBlock,
  type GgufHeader,
  type GgufTensor,
  type GgufType,
  ggufTypes,
  type GgufValue,
  parseGgufHeader,
} from "./gguf/index.js";
export { decodeStored, type StoredDtype, storedRowBytes } from "./stored.js";
