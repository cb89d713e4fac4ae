/**
 * Accuracy that ways of decoding keep: the share of items that each gets right, and its difference to the first
 * way's on the same items, with percentile intervals over resampled items.
 */
import { createRng } from "early-exits/tensor";

/** A number with its 95 % interval. */
interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

interface KeptAccuracy {
  readonly accuracy: Interval;
  /** To the first way's accuracy. */
  readonly difference: Interval;
  /** Items that this way gets right and the first one does not, and the other way round. */
  readonly gained: number;
  readonly lost: number;
}

const RESAMPLES = 2000;
const OUTSIDE = 0.025;

/** One result for each way, from whether it got each item right: [ways][items]. */
export function keptAccuracy(right: readonly (readonly boolean[])[], seed = 0): KeptAccuracy[] {
  const rng = createRng(seed);
  const items = right[0]!.length;
  const samples = Array.from({ length: RESAMPLES }, () => {
    const drawn = Array.from({ length: items }, () => rng.integer(items));
    return right.map((way) => shareOf(drawn.map((item) => way[item]!)));
  });
  const first = right[0]!;
  return right.map((way, w) => ({
    accuracy: interval(
      shareOf(way),
      samples.map((shares) => shares[w]!),
    ),
    difference: interval(
      shareOf(way) - shareOf(first),
      samples.map((shares) => shares[w]! - shares[0]!),
    ),
    gained: way.filter((is, item) => is && !first[item]!).length,
    lost: way.filter((is, item) => !is && first[item]!).length,
  }));
}

/** The standard error of a share of so many items. */
export function standardError(share: number, items: number): number {
  return Math.sqrt((share * (1 - share)) / items);
}

function shareOf(values: readonly boolean[]): number {
  return values.filter(Boolean).length / values.length;
}

function interval(value: number, samples: readonly number[]): Interval {
  const sorted = samples.toSorted((a, b) => a - b);
  const outside = Math.floor(OUTSIDE * sorted.length);
  return { value, low: sorted[outside]!, high: sorted[sorted.length - 1 - outside]! };
}
