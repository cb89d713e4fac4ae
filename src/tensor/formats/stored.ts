/** Element types of stored tensors, whatever the file: those of safetensors and those of GGUF. */
import { decodeFloat32, type SafetensorsDtype } from "./dtype.js";
import { decodeGguf, ggufBlock, type GgufType, isGgufType } from "./gguf/index.js";

export type StoredDtype = SafetensorsDtype | GgufType;

/** Bytes of a row of so many elements; undefined where the type is no float, or rows are not whole blocks of it. */
export function storedRowBytes(dtype: StoredDtype, columns: number): number | undefined {
  if (dtype === "F64") return 8 * columns;
  if (!isGgufType(dtype)) return undefined;
  const { elements, bytes } = ggufBlock(dtype);
  return columns % elements === 0 ? (columns / elements) * bytes : undefined;
}

/**
 * The elements as float32; blocks are decoded into `room` if they fit. Throws for a type that is no float, or for bytes
 * that are not whole elements or blocks.
 */
export function decodeStored(bytes: Uint8Array, dtype: StoredDtype, room?: Float32Array): Float32Array {
  const plain = dtype === "F32" || dtype === "F16" || dtype === "BF16" || !isGgufType(dtype);
  return plain ? decodeFloat32(bytes, dtype) : decodeGguf(bytes, dtype, room);
}
