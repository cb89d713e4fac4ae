/**
 * Claim (B) exit by exit: instead of testing whole vectors, whose worst exit decides, the test documents are cut into K
 * disjoint parts. Exit h is tested on part h alone, at δ/K, on the tokens that the exits before it refuse with their
 * final thresholds; its laxest accepted threshold is kept, "never" where none is. Exits cannot veto each other, but
 * each sees a K-th of the documents. P(any exit in use breaks P(wrong | leaves at h) <= ε) <= Σ_h δ/K = δ: part h is
 * independent of everything decided before it.
 */
import { type MeanBound, selectivePValues, type Tally } from "./certify-losses.js";
import { type ExitCosts, proposeAtExit } from "./candidates.js";
import { resizeTally, startOf } from "./test-sequence.js";
import { fixedSequence } from "./testing.js";
import { takeDocuments, tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export interface ByExitOptions {
  readonly epsilon: number;
  readonly delta: number;
  /** What is taken to be independent. @default "document" */
  readonly unit?: "token" | "document";
  /** For documents. @default "wsr" */
  readonly bound?: Exclude<MeanBound, "clopperPearson">;
}

/** What happened at one exit. */
export interface ExitTest {
  readonly exit: number;
  /** Documents of the test table: from `first`, `documents` of them. */
  readonly first: number;
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
 * Thresholds for all exits, candidates from the grid split. The documents of `test` must be in an order fixed without
 * looking at them.
 */
export function certifyByExit(
  grid: TokenTable,
  test: TokenTable,
  costs: ExitCosts,
  { epsilon, delta, unit = "document", bound = "wsr" }: ByExitOptions,
): ByExitResult {
  const share = delta / grid.exits;
  let vector: ThresholdVector = Array.from({ length: grid.exits }, () => Infinity);
  const tests = vector.map((_, exit): ExitTest => {
    const [first, end] = [exit, exit + 1].map((part) => Math.floor((part * test.documents) / grid.exits)) as [
      number,
      number,
    ];
    const candidates = proposeAtExit(grid, costs, { vector, exit, epsilon });
    const empty = {
      exit,
      first,
      documents: end - first,
      delta: share,
      vectors: [],
      costs: [],
      tally: undefined,
      pValues: [],
      accepted: [],
    };
    if (candidates.length === 0 || end === first) return empty;
    const pValuesOf = (tally: Tally): number[] =>
      selectivePValues(tally, { epsilon, delta: share, unit, bound }).map((exits) => exits[exit]!);
    const proposed = candidates.map(({ thresholds }) => thresholds);
    const start = startOf(pValuesOf(resizeTally(tallyVectors(grid, proposed), end - first)), share);
    const vectors = proposed.slice(start);
    const tally = tallyVectors(
      takeDocuments(
        test,
        Array.from({ length: end - first }, (_unused, i) => first + i),
      ),
      vectors,
    );
    const pValues = pValuesOf(tally);
    const accepted = fixedSequence(pValues, share);
    const prices = candidates.slice(start).map(({ cost }) => cost);
    if (accepted.length > 0) {
      vector = vectors[accepted.reduce((best, candidate) => (prices[candidate]! < prices[best]! ? candidate : best))]!;
    }
    return { ...empty, vectors, costs: prices, tally, pValues, accepted };
  });
  return { vector, tests };
}
