/**
 * Blocks of GGUF tensors to float32. In all layouts d is a scale and m (or dmin) a minimum, stored as float16; q are
 * small unsigned integers:
 *   Q4_0  d·(q - 8)       Q4_1  d·q + m      Q5_0  d·(q - 16)      Q5_1  d·q + m      Q8_0  d·q, q signed
 *   K types: 256 elements in 8 or 16 groups, each with a scale (and a minimum) of 4 to 8 bits, times the block's d
 *            (and dmin)
 *   IQ4:     d·values[q], sixteen unevenly spaced values
 * `ggufIntegers` leaves integers with a scale and a minimum per group of 32, w = d·q + m, where that is exact:
 *   Q4_0    q = 0..15, m = -8d        Q4_1  q = 0..15       d and m are float16
 *   Q4_K    q = 0..15, d and m are products of a float16 and six bits, so float32
 *   Q8_0    q = -127..127, m = 0      Q5_0  q = -16..15     IQ4_NL  q = -127..113       d is float16
 * The other types have groups of 16, or minimums beside more than four bits.
 * Products are exact in float64, so every result is rounded once, as in ggml's reference. Loops are written out because
 * a model has millions of blocks.
 */
import { GgufError } from "../../../errors.js";
import { decodeFloat32 } from "../dtype.js";
import { f16ToFloat32 } from "../half-floats.js";
import { ggufBlock, type GgufType } from "./types.js";
import { createIntegerRows, integerValues, type IntegerRows } from "../../integer-rows.js";

/** Writes the block at `at` to `out` from `to` on. */
type DecodeBlock = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** float32 of all 65,536 float16 patterns. */
let halves: Float32Array | undefined;
function halfAt(bytes: Uint8Array, at: number): number {
  halves ??= f16ToFloat32(Uint16Array.from({ length: 65_536 }, (_, pattern) => pattern));
  return halves[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** The fifth bits of 32 elements. */
const highBits = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);

const signed = (byte: number): number => (byte << 24) >> 24;

/** The 6-bit scale of group `group` of 8, in the twelve bytes at `at`. */
export const scaleOf = (bytes: Uint8Array, at: number, group: number): number =>
  group < 4 ? bytes[at + group]! & 63 : (bytes[at + group + 4]! & 15) | ((bytes[at + group - 4]! >> 6) << 4);

/** The 6-bit minimum beside it. */
const minimumOf = (bytes: Uint8Array, at: number, group: number): number =>
  group < 4 ? bytes[at + group + 4]! & 63 : (bytes[at + group + 4]! >> 4) | ((bytes[at + group]! >> 6) << 4);

const IQ4_VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** Of types that are more than integers with a scale and a minimum, and of Q4_0, whose zeros have the sign of d. */
const DECODERS: Readonly<Partial<Record<GgufType, DecodeBlock>>> = {
  Q4_0(bytes, at, out, to) {
    const d = halfAt(bytes, at);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 2 + j]!;
      out[to + j] = d * ((pair & 15) - 8);
      out[to + 16 + j] = d * ((pair >> 4) - 8);
    }
  },

  Q5_1(bytes, at, out, to) {
    const d = halfAt(bytes, at);
    const m = halfAt(bytes, at + 2);
    const high = highBits(bytes, at + 4);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 8 + j]!;
      out[to + j] = d * ((pair & 15) | (((high >>> j) & 1) << 4)) + m;
      out[to + 16 + j] = d * ((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) + m;
    }
  },

  /** scales[16] (4 bits scale, 4 bits minimum), q[64] (2 bits), d, dmin. */
  Q2_K(bytes, at, out, to) {
    const d = halfAt(bytes, at + 80);
    const dmin = halfAt(bytes, at + 82);
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group]!;
      const scale = d * (packed & 15);
      const minimum = dmin * (packed >> 4);
      const q = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
      const shift = 2 * ((group >> 1) & 3);
      for (let j = 0; j < 16; j++) out[to + 16 * group + j] = scale * ((bytes[q + j]! >> shift) & 3) - minimum;
    }
  },

  /** Third bits [32], q[64] (2 bits), scales[12] (16 of 6 bits, less 32), d. */
  Q3_K(bytes, at, out, to) {
    const d = halfAt(bytes, at + 108);
    for (let group = 0; group < 16; group++) {
      const low = bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4);
      const high = bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2));
      const scale = d * (((low & 15) | ((high & 3) << 4)) - 32);
      const q = at + 32 + 32 * (group >> 3) + 16 * (group & 1);
      const third = at + 16 * (group & 1);
      const shift = 2 * ((group >> 1) & 3);
      const mask = 1 << (group >> 1);
      for (let j = 0; j < 16; j++) {
        const value = ((bytes[q + j]! >> shift) & 3) - (bytes[third + j]! & mask ? 0 : 4);
        out[to + 16 * group + j] = scale * value;
      }
    }
  },

  /** As Q4_K, with fifth bits [32] before the nibbles. */
  Q5_K(bytes, at, out, to) {
    const d = halfAt(bytes, at);
    const dmin = halfAt(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = d * scaleOf(bytes, at + 4, group);
      const minimum = dmin * minimumOf(bytes, at + 4, group);
      const q = at + 48 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let j = 0; j < 32; j++) {
        const value = ((bytes[q + j]! >> shift) & 15) | (((bytes[at + 16 + j]! >> group) & 1) << 4);
        out[to + 32 * group + j] = scale * value - minimum;
      }
    }
  },

  /** Low nibbles [128], high bit pairs [64], signed scales [16], d. */
  Q6_K(bytes, at, out, to) {
    const d = halfAt(bytes, at + 208);
    for (let part = 0; part < 8; part++) {
      const low = at + 64 * (part >> 2) + 32 * (part & 1);
      const lowShift = part & 2 ? 4 : 0;
      const high = at + 128 + 32 * (part >> 2);
      const highShift = 2 * (part & 3);
      for (let j = 0; j < 32; j++) {
        const scale = d * signed(bytes[at + 192 + 2 * part + (j >> 4)]!);
        const value = ((bytes[low + j]! >> lowShift) & 15) | (((bytes[high + j]! >> highShift) & 3) << 4);
        out[to + 32 * part + j] = scale * (value - 32);
      }
    }
  },

  /** d, high bits of the scales (2 bytes), low nibbles of the scales (4 bytes), nibbles [128]. */
  IQ4_XS(bytes, at, out, to) {
    const d = halfAt(bytes, at);
    const high = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let group = 0; group < 8; group++) {
      const low = bytes[at + 4 + (group >> 1)]! >> (4 * (group & 1));
      const scale = d * (((low & 15) | (((high >> (2 * group)) & 3) << 4)) - 32);
      const from = at + 8 + 16 * group;
      const into = to + 32 * group;
      for (let j = 0; j < 16; j++) {
        const pair = bytes[from + j]!;
        out[into + j] = scale * IQ4_VALUES[pair & 15]!;
        out[into + 16 + j] = scale * IQ4_VALUES[pair >> 4]!;
      }
    }
  },
};

/** Decodes whole blocks. Throws a GgufError `gguf-partial-block` for a part of a block. */
export function decodeGguf(bytes: Uint8Array, type: GgufType): Float32Array {
  const block = ggufBlock(type);
  if (bytes.length % block.bytes !== 0) {
    throw new GgufError(
      "gguf-partial-block",
      `gguf: ${bytes.length} bytes are not a whole number of ${type} blocks of ${block.bytes} bytes`,
      { bytes: bytes.length, type },
    );
  }
  if (type === "F32" || type === "F16" || type === "BF16") return decodeFloat32(bytes, type);
  const decode = DECODERS[type];
  if (decode === undefined) return integerValues(ggufIntegers(bytes, type, block.elements));
  const blocks = bytes.length / block.bytes;
  const out = new Float32Array(blocks * block.elements);
  for (let b = 0; b < blocks; b++) decode(bytes, b * block.bytes, out, b * block.elements);
  return out;
}

/** Rows of `columns` elements, of a type that has an `integerForm`. */
export function ggufIntegers(bytes: Uint8Array, type: GgufType, columns: number): IntegerRows {
  const block = ggufBlock(type);
  const blocks = bytes.length / block.bytes;
  const rows = createIntegerRows((blocks * block.elements) / columns, columns);
  const { integers, scales, minimums } = rows;
  for (let b = 0; b < blocks; b++) {
    const at = b * block.bytes;
    const to = b * block.elements;
    if (type === "Q4_K") {
      superBlock(bytes, at, rows, b);
      continue;
    }
    const d = halfAt(bytes, at);
    scales[b] = d;
    minimums[b] = -0; // added, it leaves all values as they are, zeros too
    if (type === "Q8_0") {
      for (let j = 0; j < 32; j++) integers[to + j] = bytes[at + 2 + j]!; // int8 takes the bits as they are
    } else if (type === "Q5_0") {
      const fifth = highBits(bytes, at + 2);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 6 + j]!;
        integers[to + j] = ((pair & 15) | (((fifth >>> j) & 1) << 4)) - 16;
        integers[to + 16 + j] = ((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16;
      }
    } else if (type === "IQ4_NL") {
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j]!;
        integers[to + j] = IQ4_VALUES[pair & 15]!;
        integers[to + 16 + j] = IQ4_VALUES[pair >> 4]!;
      }
    } else {
      const withMinimum = type === "Q4_1";
      minimums[b] = withMinimum ? halfAt(bytes, at + 2) : -8 * d;
      const from = at + (withMinimum ? 4 : 2);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[from + j]!;
        integers[to + j] = pair & 15;
        integers[to + 16 + j] = pair >> 4;
      }
    }
  }
  return rows;
}

/** Eight groups of Q4_K: d, dmin, scales and minimums [12], nibbles [128]. */
function superBlock(bytes: Uint8Array, at: number, { integers, scales, minimums }: IntegerRows, block: number): void {
  const d = halfAt(bytes, at);
  const dmin = halfAt(bytes, at + 2);
  for (let group = 0; group < 8; group++) {
    scales[8 * block + group] = d * scaleOf(bytes, at + 4, group);
    minimums[8 * block + group] = -dmin * minimumOf(bytes, at + 4, group);
    const from = at + 16 + 32 * (group >> 1);
    const shift = 4 * (group & 1);
    const to = 256 * block + 32 * group;
    for (let j = 0; j < 32; j++) integers[to + j] = (bytes[from + j]! >> shift) & 15;
  }
}
