/**
 * Medians and spreads. A speedup is the median of per-round ratios, with their range: both sides of a ratio ran within
 * one round.
 */
import * as d3 from "d3-array";

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Values it was made from. */
  readonly samples: number;
}

/** NaN in all fields without values. */
export function spreadOf(values: readonly number[]): Spread {
  const [min = NaN, max = NaN] = d3.extent(values);
  return { median: median(values), min, max, samples: values.length };
}

export function median(values: readonly number[]): number {
  return d3.median(values) ?? NaN;
}
