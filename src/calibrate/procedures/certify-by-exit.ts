/**
 * Claim (B) exit by exit. Instead of testing whole vectors, where the worst exit decides, the test documents are cut
 * into K disjoint parts. Exit h is tested on part h alone, at δ/K, on the tokens that the exits before it do not take
 * with their final thresholds. The cheapest accepted threshold is kept, or "never" if none is accepted. Exits cannot
 * veto each other, but each sees only a K-th of the documents.
 *   P(some exit in use has P(wrong | leaves at h) > ε)  <=  Σ_h δ/K  =  δ
 * because part h is independent of everything decided before it.
 */
import type { ExitCosts } from "./candidate.js";
import { type SelectiveOptions, selectivePValues } from "./certify-selective.js";
import { fixedSequence } from "./fixed-sequence.js";
import { proposeAtExit } from "./propose-selective.js";
import { resizeTally, type Tally } from "./tally.js";
import { startOf } from "./test-sequence.js";
import { takeDocuments, tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export type ByExitOptions = Pick<SelectiveOptions, "epsilon" | "delta" | "unit" | "bound">;

/** What happened at one exit. */
export interface ExitTest {
  readonly exit: number;
  /** Index of the part's first document in the test table. */
  readonly first: number;
  /** Number of documents in the part. */
  readonly documents: number;
  /** δ/K. */
  readonly delta: number;
  /** In the order of testing. */
  readonly vectors: readonly ThresholdVector[];
  readonly costs: readonly number[];
  readonly tally: Tally | undefined;
  readonly pValues: readonly number[];
  readonly accepted: readonly number[];
}

export interface ByExitResult {
  readonly vector: ThresholdVector;
  readonly tests: readonly ExitTest[];
}

/**
 * Chooses thresholds for all exits; the grid split proposes the candidates. The documents of `test` must be in an order
 * fixed without looking at them.
 */
export function certifyByExit(
  grid: TokenTable,
  test: TokenTable,
  costs: ExitCosts,
  { epsilon, delta, unit = "document", bound = "wsr" }: ByExitOptions,
): ByExitResult {
  const { exits } = grid;
  const share = delta / exits;
  const cutAt = (part: number): number => Math.floor((part * test.documents) / exits);
  let vector: ThresholdVector = Array.from({ length: exits }, () => Infinity);

  const tests = vector.map((_, exit): ExitTest => {
    const first = cutAt(exit);
    const documents = cutAt(exit + 1) - first;
    const untested: ExitTest = {
      exit,
      first,
      documents,
      delta: share,
      vectors: [],
      costs: [],
      tally: undefined,
      pValues: [],
      accepted: [],
    };
    const candidates = proposeAtExit(grid, costs, { vector, exit, epsilon });
    if (candidates.length === 0 || documents === 0) return untested;

    const pValuesOf = (tally: Tally): number[] =>
      selectivePValues(tally, { epsilon, delta: share, unit, bound }).map((ofExits) => ofExits[exit]!);
    const proposed = candidates.map(({ thresholds }) => thresholds);
    const predicted = pValuesOf(resizeTally(tallyVectors(grid, proposed), documents));
    const start = startOf(predicted, share);
    const vectors = proposed.slice(start);
    const prices = candidates.slice(start).map(({ cost }) => cost);

    const part = Array.from({ length: documents }, (_unused, i) => first + i);
    const tally = tallyVectors(takeDocuments(test, part), vectors);
    const pValues = pValuesOf(tally);
    const accepted = fixedSequence(pValues, share);
    if (accepted.length > 0) {
      const cheapest = accepted.reduce((best, candidate) => (prices[candidate]! < prices[best]! ? candidate : best));
      vector = vectors[cheapest]!;
    }
    return { ...untested, vectors, costs: prices, tally, pValues, accepted };
  });
  return { vector, tests };
}
