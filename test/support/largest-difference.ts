/** The largest difference between numbers and those that were expected, which must be as many. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>) {
  if (a.length !== b.length) throw new Error(`${a.length} numbers beside ${b.length}`);
  return Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}
