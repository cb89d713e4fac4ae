/**
 * The columns of the n largest values of a row. A device that finds them itself need not hand out the row; else they
 * are found in two passes and without sorting all: values are counted by their leading 16 bits, in an order of bits
 * that is the order of floats, and only those that share the n-th one's leading bits are sorted.
 */
import { rowsOf } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** The columns of the n largest values of every row of x [.., V], ascending; of equal values the lowest ones. */
export async function largestColumns(x: Tensor, n: number): Promise<(readonly number[])[]> {
  const { rows, width } = rowsOf("largestColumns", x.shape);
  const count = Math.min(n, width);
  const { screening } = x.device;
  const each = Array.from({ length: rows }, (_, r) => r);
  if (screening !== undefined) return each.map((r) => screening.largest(x.storage, r, { width, count }));
  const values = await x.read();
  return each.map((r) => largest(values.subarray(r * width, (r + 1) * width), count));
}

/** Returns positions in increasing order; of equal values at the border, the lowest ones. All if n is larger. */
export function largest(values: Float32Array, n: number): number[] {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const counts = new Uint32Array(2 ** 16);
  for (const pattern of bits) counts[bucketOf(pattern)]!++;
  let border = counts.length - 1;
  let above = 0; // values in buckets above the border
  while (border > 0 && above + counts[border]! < n) above += counts[border--]!;

  const chosen: number[] = [];
  const atBorder: number[] = [];
  for (const [position, pattern] of bits.entries()) {
    const bucket = bucketOf(pattern);
    if (bucket > border) chosen.push(position);
    else if (bucket === border) atBorder.push(position);
  }
  atBorder.sort((a, b) => values[b]! - values[a]! || a - b);
  return [...chosen, ...atBorder.slice(0, n - chosen.length)].sort((a, b) => a - b);
}

/** The leading half of a float's bits, such that larger floats have larger ones. */
function bucketOf(pattern: number): number {
  return (pattern & 0x80000000) !== 0 ? ~pattern >>> 16 : (pattern >>> 16) | 0x8000;
}
