/** Element types of stored tensors, of safetensors and GGUF. */
import { decodeFloat32, type SafetensorsDtype } from "./dtype.js";
import { ggufBlock, type GgufType, isGgufType } from "./gguf/types.js";

export type StoredDtype = SafetensorsDtype | GgufType;

/** Bytes of a row; undefined for types that are no floats, or rows of no whole blocks. */
export function storedRowBytes(dtype: StoredDtype, columns: number): number | undefined {
  if (dtype === "F64") return 8 * columns;
  if (!isGgufType(dtype)) return undefined;
  const { elements, bytes } = ggufBlock(dtype);
  return columns % elements === 0 ? (columns / elements) * bytes : undefined;
}

/** Makes float32 of the elements of one type. Throws for types that are no floats, or parts of elements or blocks. */
type DecodeStored = (bytes: Uint8Array) => Float32Array;

/** Pages that read safetensors alone load no code for GGUF's blocks. */
export async function storedDecoder(dtype: StoredDtype): Promise<DecodeStored> {
  const plain = dtype === "F32" || dtype === "F16" || dtype === "BF16" || !isGgufType(dtype);
  if (plain) return (bytes) => decodeFloat32(bytes, dtype);
  const { decodeGguf } = await import("./gguf/decode.js");
  return (bytes) => decodeGguf(bytes, dtype);
}
