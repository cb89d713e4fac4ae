/**
 * The two 16-bit floats that JavaScript lacks, from and to float32.
 *   F16   1 sign, 5 exponent (bias 15), 10 mantissa bits (IEEE 754 binary16)
 *   BF16  1 sign, 8 exponent, 7 mantissa bits: the upper half of a float32
 * Narrowing rounds to nearest, ties to even.
 */
import { bytesOf, viewAs } from "./bytes.js";

/** `[N]` bfloat16 bit patterns to float32, exactly; NaN payloads are kept. */
export function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/**
 * `[N]` float32 to bfloat16 bit patterns. Half a unit above the largest bfloat16 becomes infinity. NaN stays NaN:
 * quiet, with its sign.
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
      // zeros and subnormals; -0 keeps its sign
      out[i] = (sign === 0 ? mantissa : -mantissa) * 2 ** -24;
    } else {
      words[i] = sign | (exponent === 31 ? 0x7f800000 : (exponent + 112) << 23) | (mantissa << 13);
    }
  }
  return out;
}

/**
 * `[N]` float32 to binary16 bit patterns. From 65520 on: infinity; up to 2^-25: zero. NaN stays NaN: quiet, with its
 * sign.
 */
export function float32ToF16(values: Float32Array): Uint16Array {
  const words = viewAs(bytesOf(values), Uint32Array);
  const out = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i]! >>> 16) & 0x8000;
    const a = words[i]! & 0x7fffffff;
    let magnitude: number;
    if (a > 0x7f800000) {
      magnitude = 0x7e00 | ((a >>> 13) & 0x3ff);
    } else if (a >= 0x477ff000) {
      // from 65520 on, halfway between the largest binary16 and 2^16: the tie goes to the even side, infinity
      magnitude = 0x7c00;
    } else if (a >= 0x38800000) {
      // from 2^-14 on: normal
      magnitude = (a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13;
    } else {
      // subnormal: adding 2^52 makes float64 round to an integer, ties to even
      magnitude = Math.abs(values[i]!) * 2 ** 24 + 2 ** 52 - 2 ** 52;
    }
    out[i] = sign | magnitude;
  }
  return out;
}
