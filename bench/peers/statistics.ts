/**
 * Medians and spreads. A speedup is the median of per-round ratios, with their range: both sides of a ratio ran within
 * one round.
 */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Values it was made from. */
  readonly samples: number;
}

/** NaN in all fields without values. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: median(values), min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN, samples: values.length };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
