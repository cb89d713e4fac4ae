/**
 * The element types of safetensors files: their sizes, their typed arrays, and the two 16-bit floats JavaScript lacks.
 *   F16   1 sign, 5 exponent (bias 15), 10 mantissa bits (IEEE 754 binary16)
 *   BF16  1 sign, 8 exponent, 7 mantissa bits: the upper half of a float32
 * Narrowing rounds to nearest, ties to even. Bytes are little endian, and so must the host be: typed arrays are views,
 * not decoders. Left out: decoding of the 4, 6 and 8 bit floats and of C64, which parse and keep their bytes.
 */
import { SafetensorsError } from "../../errors.js";

/** Every code a `SafetensorsError` carries; each has a test of the same name. */
export const safetensorsErrorCodes = [
  "big-endian-host",
  "cannot-decode",
  "data-type",
  "duplicate-key",
  "field-type",
  "file-too-short",
  "header-past-end",
  "header-start",
  "header-too-large",
  "invalid-json",
  "invalid-name",
  "invalid-utf8",
  "metadata-type",
  "missing-field",
  "not-an-integer",
  "offsets-gap",
  "offsets-overlap",
  "offsets-past-end",
  "offsets-reversed",
  "partial-byte",
  "prefix-too-short",
  "shape-overflow",
  "size-mismatch",
  "tensor-not-found",
  "trailing-bytes",
  "unexpected-field",
  "unknown-dtype",
] as const;
export type SafetensorsErrorCode = (typeof safetensorsErrorCodes)[number];

/** What `array(name)` returns: the dtype's own typed array, Float32Array for F16 and BF16, Uint8Array for BOOL. */
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
interface DtypeRow {
  readonly bits: number;
  readonly array: TensorArrayType | null;
}

/**
 * The dtypes of the published format. 16 bits and more decode to numbers; the 4, 6 and 8 bit floats and C64 keep their
 * bytes.
 */
export type SafetensorsDtype =
  | "BOOL"
  | "F4"
  | "F6_E2M3"
  | "F6_E3M2"
  | "U8"
  | "I8"
  | "F8_E5M2"
  | "F8_E4M3"
  | "F8_E8M0"
  | "F8_E4M3FNUZ"
  | "F8_E5M2FNUZ"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "C64"
  | "F64"
  | "I64"
  | "U64";

/**
 * In the order of the `Dtype` enum of the Rust crate, "increasing alignment": the writer sorts by it, so the order is
 * part of the format.
 */
const rows: Readonly<Record<SafetensorsDtype, DtypeRow>> = {
  BOOL: { bits: 8, array: Uint8Array },
  F4: { bits: 4, array: null },
  F6_E2M3: { bits: 6, array: null },
  F6_E3M2: { bits: 6, array: null },
  U8: { bits: 8, array: Uint8Array },
  I8: { bits: 8, array: Int8Array },
  F8_E5M2: { bits: 8, array: null },
  F8_E4M3: { bits: 8, array: null },
  F8_E8M0: { bits: 8, array: null },
  F8_E4M3FNUZ: { bits: 8, array: null },
  F8_E5M2FNUZ: { bits: 8, array: null },
  I16: { bits: 16, array: Int16Array },
  U16: { bits: 16, array: Uint16Array },
  F16: { bits: 16, array: Uint16Array },
  BF16: { bits: 16, array: Uint16Array },
  I32: { bits: 32, array: Int32Array },
  U32: { bits: 32, array: Uint32Array },
  F32: { bits: 32, array: Float32Array },
  C64: { bits: 64, array: null },
  F64: { bits: 64, array: Float64Array },
  I64: { bits: 64, array: BigInt64Array },
  U64: { bits: 64, array: BigUint64Array },
};

/** All published dtypes, by increasing alignment. */
export const safetensorsDtypes = Object.keys(rows) as readonly SafetensorsDtype[];

export function isSafetensorsDtype(text: string): text is SafetensorsDtype {
  return Object.hasOwn(rows, text);
}

/** Bits per element: 4 to 64. */
export function dtypeBits(dtype: SafetensorsDtype): number {
  return rows[dtype].bits;
}

/** `[N]` bfloat16 bit patterns to float32, exactly; NaN payloads are kept. */
export function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/**
 * `[N]` float32 to bfloat16 bit patterns. Above the largest bfloat16 by half a unit or more: infinity. NaN stays NaN,
 * quiet, sign kept.
 */
export function float32ToBf16(values: Float32Array): Uint16Array {
  const words = viewAs(bytesOf(values), Uint32Array);
  const out = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const x = words[i]!;
    const nan = (x & 0x7fffffff) > 0x7f800000; // rounding a NaN could carry it into an infinity
    out[i] = nan ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** `[N]` binary16 bit patterns to float32, exactly; NaN payloads are kept. */
export function f16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i]!;
    const sign = (h & 0x8000) << 16;
    const exponent = (h >>> 10) & 31;
    const mantissa = h & 0x3ff;
    if (exponent === 0) {
      out[i] = (sign === 0 ? mantissa : -mantissa) * 2 ** -24;
    } // zeros and subnormals; -0 keeps its sign
    else words[i] = sign | (exponent === 31 ? 0x7f800000 : (exponent + 112) << 23) | (mantissa << 13);
  }
  return out;
}

/** `[N]` float32 to binary16 bit patterns. From 65520 on: infinity; to 2^-25: zero. NaN stays NaN, quiet, sign kept. */
export function float32ToF16(values: Float32Array): Uint16Array {
  const words = viewAs(bytesOf(values), Uint32Array);
  const out = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i]! >>> 16) & 0x8000;
    const a = words[i]! & 0x7fffffff;
    let magnitude: number;
    if (a > 0x7f800000) magnitude = 0x7e00 | ((a >>> 13) & 0x3ff);
    else if (a >= 0x477ff000) {
      magnitude = 0x7c00;
    } // 65520, half way from the largest binary16 to 2^16: the tie goes to the even side
    else if (a >= 0x38800000) {
      magnitude = (a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13;
    } // 2^-14 and up: normal
    else magnitude = Math.abs(values[i]!) * 2 ** 24 + 2 ** 52 - 2 ** 52; // subnormal: adding 2^52 makes float64 round to an integer, ties to even
    out[i] = sign | magnitude;
  }
  return out;
}

/**
 * The bytes of any typed array or DataView, shared with it; a plain Uint8Array even for a Node Buffer, whose `slice`
 * means something else.
 */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * The natural typed array of `bytes`: a view on them where they lie aligned, a copy elsewhere. F16 and BF16 become
 * Float32Array.
 */
export function decodeArray(bytes: Uint8Array, dtype: SafetensorsDtype): TensorArray {
  requireLittleEndian("decode");
  if (!isSafetensorsDtype(dtype)) {
    throw fault("unknown-dtype", `decode: dtype ${quote(dtype)} is not one of ${safetensorsDtypes.join(", ")}`, {
      dtype,
    });
  }
  const { array } = rows[dtype];
  if (array === null) {
    throw fault("cannot-decode", `decode: ${dtype} is parsed but not decoded here; take its bytes instead`, { dtype });
  }
  if (bytes.length % array.BYTES_PER_ELEMENT !== 0) {
    throw fault("size-mismatch", `decode: ${bytes.length} bytes are no whole number of ${dtype} elements`, {
      dtype,
      bytes: bytes.length,
    });
  }
  if (dtype === "F16") return f16ToFloat32(viewAs(bytes, Uint16Array));
  if (dtype === "BF16") return bf16ToFloat32(viewAs(bytes, Uint16Array));
  return viewAs(bytes, array);
}

/**
 * The elements as float32. F32 bytes are not copied where they lie aligned: the result shares their buffer.
 * F16, BF16, BOOL and the 8 and 16 bit integers convert exactly. F64, I32 and U32 round to nearest, ties to even. I64
 * and U64 round twice, to float64 and then to float32, and may miss the nearest float32 by one unit when they lie
 * within 2^-29 of a tie.
 */
export function decodeFloat32(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array {
  const array = decodeArray(bytes, dtype);
  if (array instanceof Float32Array) return array;
  const out = new Float32Array(array.length);
  for (let i = 0; i < out.length; i++) out[i] = Number(array[i]!);
  return out;
}

/**
 * The bytes to write for `data`: raw bytes and the dtype's own array as they are, Float32Array rounded for F16 and
 * BF16, nothing else.
 */
export function encodeBytes(data: ArrayBufferView, dtype: SafetensorsDtype, where: string): Uint8Array {
  const { array } = rows[dtype];
  if (data instanceof Float32Array && dtype === "F16") return bytesOf(float32ToF16(data));
  if (data instanceof Float32Array && dtype === "BF16") return bytesOf(float32ToBf16(data));
  if (data instanceof Uint8Array || data instanceof DataView || (array !== null && data instanceof array)) {
    return bytesOf(data);
  }
  const legal = new Set([
    "Uint8Array or DataView (raw bytes)",
    ...(array === null ? [] : [array.name]),
    ...(dtype.endsWith("F16") ? ["Float32Array"] : []),
  ]);
  throw fault("data-type", `${where}: ${dtype} data may be ${[...legal].join(", ")}; found ${data.constructor.name}`, {
    dtype,
    found: data.constructor.name,
  });
}

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function requireLittleEndian(where: string): void {
  if (!littleEndian) {
    throw fault(
      "big-endian-host",
      `${where}: safetensors are little endian and are read through typed array views; this host is big endian`,
      {},
    );
  }
}

/** A `SafetensorsError` whose code is one of the list above. */
export function fault(
  code: SafetensorsErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>>,
): SafetensorsError {
  return new SafetensorsError(code, message, details);
}

/** A text from the file, cut to a length that suits a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** A typed array on the bytes themselves, or on a copy where their offset is no multiple of the element size. */
function viewAs<A>(
  bytes: Uint8Array,
  type: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBufferLike, byteOffset: number, length: number): A },
): A {
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / type.BYTES_PER_ELEMENT);
}
