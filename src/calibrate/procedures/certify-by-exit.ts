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
import { OptionError } from "../../errors.js";
import { resizeTally, type Tally } from "./tally.js";
import { startOf } from "./test-sequence.js";
import { takeDocuments, tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export interface ByExitOptions extends Pick<SelectiveOptions, "epsilon" | "delta" | "unit" | "bound"> {
  /** Whether an accepted candidate may be chosen. @default any may */
  readonly allowed?: (test: ExitTest, tally: Tally, candidate: number) => boolean;
}

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
  /** The accepted candidates that may be chosen. */
  readonly allowed: readonly number[];
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
  { epsilon, delta, unit = "document", bound = "wsr", allowed: mayChoose }: ByExitOptions,
): ByExitResult {
  const { exits } = grid;
  const share = delta / exits;
  const starts = test.unitStarts ?? Int32Array.from({ length: test.documents + 1 }, (_, d) => d);
  const units = starts.length - 1;
  if (units < exits) throw tooFewUnits(units, exits);
  const unitAt = (part: number): number => Math.floor((part * units) / exits);
  let vector: ThresholdVector = Array.from({ length: exits }, () => Infinity);

  const tests = vector.map((_, exit): ExitTest => {
    const own = { begin: unitAt(exit), end: unitAt(exit + 1) };
    const first = starts[own.begin]!;
    const documents = starts[own.end]! - first;
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
      allowed: [],
    };
    const candidates = proposeAtExit(grid, costs, { vector, exit, epsilon });
    if (candidates.length === 0) return untested;

    const pValuesOf = (tally: Tally): number[] =>
      selectivePValues(tally, { epsilon, delta: share, unit, bound }).map((ofExits) => ofExits[exit]!);
    const proposed = candidates.map(({ thresholds }) => thresholds);
    const predicted = pValuesOf(resizeTally(tallyVectors(grid, proposed), own.end - own.begin));
    const start = startOf(predicted, share);
    const vectors = proposed.slice(start);
    const prices = candidates.slice(start).map(({ cost }) => cost);

    const part = Array.from({ length: documents }, (_unused, i) => first + i);
    const unitStarts = starts.slice(own.begin, own.end + 1).map((start) => start - first);
    const taken = takeDocuments(test, part);
    const tally = tallyVectors(test.unitStarts === undefined ? taken : { ...taken, unitStarts }, vectors);
    const pValues = pValuesOf(tally);
    const accepted = fixedSequence(pValues, share);
    const allowed = accepted.filter((candidate) => mayChoose?.(untested, tally, candidate) ?? true);
    if (allowed.length > 0) {
      const cheapest = allowed.reduce((best, candidate) => (prices[candidate]! < prices[best]! ? candidate : best));
      vector = vectors[cheapest]!;
    }
    return { ...untested, vectors, costs: prices, tally, pValues, accepted, allowed };
  });
  return { vector, tests };
}

function tooFewUnits(units: number, exits: number): OptionError {
  return new OptionError(
    "documents-few",
    `calibrate: procedure "byExit" tests each of ${exits} exits on units of its own, but the test has ${units}; give ` +
      "more documents (or groups), or use another procedure",
    { units, exits },
  );
}
