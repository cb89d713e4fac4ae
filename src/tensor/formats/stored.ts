/** Element types of stored tensors, whatever the file: those of safetensors and those of GGUF. */
import { decodeFloat32, type SafetensorsDtype } from "./dtype.js";
import { ggufBlock, type GgufType, isGgufType } from "./gguf/types.js";

export type StoredDtype = SafetensorsDtype | GgufType;

/** Bytes of a row of so many elements; undefined where the type is no float, or rows are not whole blocks of it. */
export function storedRowBytes(dtype: StoredDtype, columns: number): number | undefined {
  if (dtype === "F64") return 8 * columns;
  if (!isGgufType(dtype)) return undefined;
  const { elements, bytes } = ggufBlock(dtype);
  return columns % elements === 0 ? (columns / elements) * bytes : undefined;
}

/**
 * Makes float32 of the elements of one type; of blocks in `room`, if they fit. Throws for a type that is no float, or
 * for bytes that are not whole elements or blocks.
 */
export type DecodeStored = (bytes: Uint8Array, room?: Float32Array) => Float32Array;

/** Finds what decodes a type. A page that reads safetensors alone loads no code for the blocks of GGUF. */
export async function storedDecoder(dtype: StoredDtype): Promise<DecodeStored> {
  const plain = dtype === "F32" || dtype === "F16" || dtype === "BF16" || !isGgufType(dtype);
  if (plain) return (bytes) => decodeFloat32(bytes, dtype);
  const { decodeGguf } = await import("./gguf/decode.js");
  return (bytes, room) => decodeGguf(bytes, dtype, room);
}
