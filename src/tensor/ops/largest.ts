/** The columns of a row's n largest values. */
import { rowsOf } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** Per row of x [.., V], ascending; of equal values the lowest columns. */
export async function largestColumns(x: Tensor, n: number): Promise<(readonly number[])[]> {
  const { rows, width } = rowsOf("largestColumns", x.shape);
  const count = Math.min(n, width);
  const { screening } = x.device;
  const each = [...Array(rows).keys()];
  if (screening !== undefined) return each.map((r) => screening.largest(x.storage, r, { width, count }));
  const values = await x.read();
  return each.map((r) => largest(values.subarray(r * width, (r + 1) * width), count));
}

/**
 * Ascending positions; of equal values the lowest. NaN is not among them: where fewer values are left, the first
 * positions are. All if n is larger.
 */
export function largest(values: Float32Array, n: number): number[] {
  const positions = Array.from(values.keys());
  const least = values
    .filter((value) => !Number.isNaN(value))
    .toSorted()
    .at(-n);
  if (least === undefined) return positions.slice(0, n);
  let equal = n - values.filter((value) => value > least).length;
  return positions.filter((at) => values[at]! > least || (values[at] === least && equal-- > 0));
}
