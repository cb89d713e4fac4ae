/**
 * Rows of four bits of which few are read, each in one piece (a panel of sixteen would be read for each): W ≈ d·q, with
 * q = -7..7 and a scale d for a row. They lie in the words of a tensor, K padded to a multiple of 32:
 * kernels/screening/nibble-rows.as.ts.
 */
import { Tensor } from "../tensor.js";

const MOST = 7;
const ZERO = 8;
const LARGEST = 8191;

/** Of a row. */
export function nibbleRowWords(k: number): number {
  return 1 + 4 * Math.ceil(k / 32);
}

/** Rounds rows [n, K]. */
export function toNibbleRows(values: Float32Array, k: number): Float32Array {
  const width = nibbleRowWords(k);
  const words = new Float32Array((values.length / k) * width);
  const bytes = new Uint8Array(words.buffer);
  for (let row = 0, from = 0; from < values.length; row += width, from += k) {
    const largest = largestOf(values.subarray(from, from + k));
    const inverse = largest === 0 ? 0 : MOST / largest;
    words[row] = largest / MOST;
    for (let i = 0; i < k; i++) {
      const q = (values[from + i]! * inverse + ZERO + 0.5) | 0; // (Math.round costs more)
      bytes[4 * row + 4 + ((i >> 5) << 4) + (i & 15)]! |= i & 16 ? q << 4 : q;
    }
  }
  return words;
}

/**
 * y[i] = coarse[row, ids[i]] + W[ids[i]] · x, for coarse values [R, N] and x [K] in fourteen bits: [1, ids.length]. Of
 * devices that screen.
 */
export function addNibbleRows(
  coarse: Tensor,
  row: number,
  weight: Tensor,
  x: Float32Array,
  ids: readonly number[],
): Tensor {
  const step = largestOf(x) / LARGEST;
  const words = new Float32Array(4 * nibbleRowWords(x.length));
  const integers = new Int16Array(words.buffer, 16);
  x.forEach((value, i) => (integers[i] = Math.round(value / step)));
  words[0] = step;
  new Int32Array(words.buffer)[1] = ZERO * integers.reduce((sum, a) => sum + a, 0);
  const { device } = coarse;
  const begin = row * coarse.shape[1]!;
  const y = device.screening!.addNibbleRows(coarse.storage, begin, weight.storage, words, ids);
  return new Tensor(device, y, [1, ids.length]);
}

function largestOf(values: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}
