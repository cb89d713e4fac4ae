/**
 * The columns of a row's n largest values. Without a device that finds them itself, two passes: values are counted by
 * their leading 16 bits, in the order of floats, and only those that share the n-th one's leading bits are sorted.
 */
import { rowsOf } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** Per row of x [.., V], ascending; of equal values the lowest columns. */
export async function largestColumns(x: Tensor, n: number): Promise<(readonly number[])[]> {
  const { rows, width } = rowsOf("largestColumns", x.shape);
  const count = Math.min(n, width);
  const { screening } = x.device;
  const each = Array.from({ length: rows }, (_, r) => r);
  if (screening !== undefined) return each.map((r) => screening.largest(x.storage, r, { width, count }));
  const values = await x.read();
  return each.map((r) => largest(values.subarray(r * width, (r + 1) * width), count));
}

/** Ascending positions; of equal values at the border, the lowest ones. All if n is larger. */
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

/** The leading half of the bits, made to order as floats do. */
function bucketOf(pattern: number): number {
  return (pattern & 0x80000000) !== 0 ? ~pattern >>> 16 : (pattern >>> 16) | 0x8000;
}
