/**
 * Blocks of GGUF tensors as integers with a scale and a minimum per group of 32, w = d·q + m, where that is exact:
 *   Q4_0    q = 0..15, m = -8d        Q4_1  q = 0..15       d and m are float16
 *   Q4_K    q = 0..15, d and m are products of a float16 and six bits, so float32
 *   Q8_0    q = -127..127, m = 0      Q5_0  q = -16..15     IQ4_NL  q = -127..113       d is float16
 * The other types have groups of 16, or minimums beside more than four bits.
 */
import { createIntegerRows, type IntegerRows } from "../../integer-rows.js";
import { halfAt, IQ4_VALUES, minimumOf, scaleOf } from "./decode.js";
import { ggufBlock, type GgufType } from "./types.js";

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
    if (type === "Q8_0") {
      for (let j = 0; j < 32; j++) integers[to + j] = bytes[at + 2 + j]!; // int8 takes the bits as they are
    } else if (type === "Q5_0") {
      fiveBits(bytes, at, integers, to);
    } else if (type === "IQ4_NL") {
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j]!;
        integers[to + j] = IQ4_VALUES[pair & 15]!;
        integers[to + 16 + j] = IQ4_VALUES[pair >> 4]!;
      }
    } else {
      const withMinimum = type === "Q4_1";
      minimums[b] = withMinimum ? halfAt(bytes, at + 2) : -8 * d;
      fourBits(bytes, at + (withMinimum ? 4 : 2), integers, to);
    }
  }
  return rows;
}

/** Sixteen low nibbles, then sixteen high ones. */
function fourBits(bytes: Uint8Array, at: number, to: Int8Array, first: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!;
    to[first + j] = pair & 15;
    to[first + 16 + j] = pair >> 4;
  }
}

function fiveBits(bytes: Uint8Array, at: number, to: Int8Array, first: number): void {
  const fifth = (j: number): number => ((bytes[at + 2 + (j >> 3)]! >> (j & 7)) & 1) << 4;
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 6 + j]!;
    to[first + j] = ((pair & 15) | fifth(j)) - 16;
    to[first + 16 + j] = ((pair >> 4) | fifth(j + 16)) - 16;
  }
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
