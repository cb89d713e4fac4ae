/** What may leave if tokens that stay can differ from the original as well. */

/** One position: how sure the exit is, and whether its token and that of the full depth are the original's. */
export interface Judged {
  readonly score: number;
  readonly exitAgrees: boolean;
  readonly fullAgrees: boolean;
}

/**
 * Per level a, the largest share of positions that may leave, the highest scores first, such that at most 1 - a of all
 * positions differ from the original, those that stay included; null if even with no exit more of them do.
 */
export function coverageBeside(positions: readonly Judged[], levels: readonly number[]): (number | null)[] {
  const sorted = positions.toSorted((a, b) => b.score - a.score);
  const best: (number | null)[] = levels.map(() => null);
  let wrong = sorted.filter(({ fullAgrees }) => !fullAgrees).length;
  const note = (left: number): void => {
    levels.forEach((level, l) => {
      if (wrong <= (1 - level) * sorted.length * (1 + 1e-12)) best[l] = left / sorted.length;
    });
  };
  note(0);
  sorted.forEach(({ score, exitAgrees, fullAgrees }, i) => {
    wrong += Number(!exitAgrees) - Number(!fullAgrees);
    if (sorted[i + 1]?.score !== score) note(i + 1);
  });
  return best;
}
