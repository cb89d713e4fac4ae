/**
 * The element types of safetensors files. Left out: decoding of the 4, 6 and 8 bit floats and of C64, which keep their
 * bytes.
 */
import { bytesOf, requireLittleEndian, viewAs } from "./bytes.js";
import { fault, quote } from "./errors.js";
import { bf16ToFloat32, f16ToFloat32, float32ToBf16, float32ToF16 } from "./half-floats.js";

/** A dtype's own typed array, Float32Array for F16 and BF16, Uint8Array for BOOL. */
export type TensorArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

interface TensorArrayType {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorArray;
}

/**
 * The published dtypes, in the order of the Rust crate's `Dtype` enum, "increasing alignment": the writer sorts by it,
 * so it is part of the format. Of those that keep their bytes, the bits.
 */
const rows = {
  BOOL: Uint8Array,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  C64: 64,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const satisfies Readonly<Record<string, TensorArrayType | number>>;
export type SafetensorsDtype = keyof typeof rows;

/** By increasing alignment. */
export const safetensorsDtypes = Object.keys(rows) as readonly SafetensorsDtype[];

export function isSafetensorsDtype(text: string): text is SafetensorsDtype {
  return Object.hasOwn(rows, text);
}

/** A view on `bytes` if they lie aligned, else a copy. F16 and BF16 become float32. */
export function decodeArray(bytes: Uint8Array, dtype: SafetensorsDtype): TensorArray {
  requireLittleEndian("decode");
  if (!isSafetensorsDtype(dtype)) {
    throw fault("unknown-dtype", `decode: dtype ${quote(dtype)} is not one of ${safetensorsDtypes.join(", ")}`, {
      dtype,
    });
  }
  const array: TensorArrayType | number = rows[dtype];
  if (typeof array === "number") {
    throw fault("cannot-decode", `decode: ${dtype} is parsed but not decoded here; take its bytes instead`, { dtype });
  }
  if (bytes.length % array.BYTES_PER_ELEMENT !== 0) {
    throw fault("size-mismatch", `decode: ${bytes.length} bytes are not a whole number of ${dtype} elements`, {
      dtype,
      bytes: bytes.length,
    });
  }
  if (dtype === "F16") return f16ToFloat32(viewAs(bytes, Uint16Array));
  if (dtype === "BF16") return bf16ToFloat32(viewAs(bytes, Uint16Array));
  return viewAs(bytes, array);
}

/**
 * The elements as float32; aligned F32 bytes are shared, not copied. F16, BF16, BOOL and the 8 and 16 bit integers
 * convert exactly. F64, I32 and U32 round to nearest, ties to even. I64 and U64 round twice, by way of float64, and may
 * miss the nearest float32 by one unit within 2^-29 of a tie.
 */
export function decodeFloat32(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array {
  const array = decodeArray(bytes, dtype);
  if (array instanceof Float32Array) return array;
  const out = new Float32Array(array.length);
  for (let i = 0; i < out.length; i++) out[i] = Number(array[i]!);
  return out;
}

/**
 * Raw bytes and the dtype's own array stay as they are; a Float32Array is rounded for F16 and BF16. Throws for anything
 * else.
 */
export function encodeBytes(data: ArrayBufferView, dtype: SafetensorsDtype, where: string): Uint8Array {
  const row = rows[dtype];
  const array = typeof row === "number" ? [] : [row];
  if (data instanceof Float32Array && dtype === "F16") return bytesOf(float32ToF16(data));
  if (data instanceof Float32Array && dtype === "BF16") return bytesOf(float32ToBf16(data));
  if (data instanceof Uint8Array || data instanceof DataView || array.some((own) => data instanceof own)) {
    return bytesOf(data);
  }
  const legal = new Set([
    "Uint8Array or DataView (raw bytes)",
    ...array.map((own) => own.name),
    ...(dtype.endsWith("F16") ? ["Float32Array"] : []),
  ]);
  throw fault("data-type", `${where}: ${dtype} data may be ${[...legal].join(", ")}; found ${data.constructor.name}`, {
    dtype,
    found: data.constructor.name,
  });
}

interface TensorDescription {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** Every intermediate product is exact; elements of less than a byte must fill whole bytes. */
export function byteCount(tensor: TensorDescription): number {
  const { name, dtype, shape } = tensor;
  const row = rows[dtype];
  const bits = [...shape, typeof row === "number" ? row : 8 * row.BYTES_PER_ELEMENT].reduce((product, size) => {
    if (product * size > Number.MAX_SAFE_INTEGER) {
      throw fault("shape-overflow", `safetensors: ${textOf(tensor)} has more than 2^53 bits`, { name, dtype });
    }
    return product * size;
  }, 1);
  if (bits % 8 !== 0) {
    throw fault(
      "partial-byte",
      `safetensors: ${textOf(tensor)} has ${bits} bits, which is not a whole number of bytes`,
      { name, dtype, bits },
    );
  }
  return bits / 8;
}

export function sizeMismatch(
  tensor: TensorDescription,
  { expected, found }: { readonly expected: number; readonly found: number },
): Error {
  const { name, dtype } = tensor;
  return fault("size-mismatch", `safetensors: ${textOf(tensor)} takes ${expected} bytes, found ${found}`, {
    name,
    dtype,
    expected,
    found,
  });
}

export function unknownDtype(name: string, dtype: string): Error {
  return fault(
    "unknown-dtype",
    `safetensors: ${quote(name)} has dtype ${quote(dtype)}; legal are ${safetensorsDtypes.join(", ")}`,
    { name, dtype: dtype.slice(0, 80) },
  );
}

/** Cut after eight sizes. */
function textOf({ name, dtype, shape }: TensorDescription): string {
  const sizes = shape.length > 8 ? [...shape.slice(0, 8), `... ${shape.length} sizes`] : shape;
  return `${quote(name)} of ${dtype} and shape [${sizes.join(", ")}]`;
}
