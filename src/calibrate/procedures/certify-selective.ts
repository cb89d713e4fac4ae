/**
 * Claim (B), the selective risk: P(wrong | leaves at exit h) <= ε at every exit h in use, a ratio of two counts. Two
 * ways to test one exit:
 *   unit "token"     of the m tokens that leave at h, the wrong ones are Bin(m, r): p = P(Bin(m, ε) <= wrong), valid
 *                    conditionally on m. Assumes independent tokens, which the tokens of one document are not
 *   unit "document"  r <= ε exactly if E[(wrong - ε left) / T] <= 0, with T the document's tokens. So with
 *                    x = (wrong - ε left) / T + ε in [0, 1], test "E[x] > ε" like any bounded mean. Assumes
 *                    independent documents and gives every document the same weight
 * A candidate's p-value is the largest over its exits. All of them must hold, so δ is not split (an intersection-union
 * test). An exit in use at which no token left has p = 1.
 */
import { binomialTail } from "../bounds/index.js";
import { type Certification, type CertifyOptions, decide, requireLevels } from "./certify-losses.js";
import { type MeanBound, meanPValue } from "./mean-p-value.js";
import { repeatTo, requireTally, type Tally, type TallyTotals, totalsOf, unitMeans, unitsOf } from "./tally.js";

export interface SelectiveOptions extends Omit<CertifyOptions, "bound"> {
  /** What is assumed to be independent. @default "document" */
  readonly unit?: "token" | "document";
  /** For documents; tokens are tested by the exact binomial. @default "wsr" */
  readonly bound?: Exclude<MeanBound, "clopperPearson">;
}

export interface SelectiveCertification extends Certification {
  readonly unit: "token" | "document";
  /** Per candidate and exit; null if the candidate does not use the exit. */
  readonly exitPValues: readonly (readonly (number | null)[])[];
}

/** Certifies the selective risk of every exit in use. Throws the same errors as `certifyLosses`. */
export function certifySelective(tally: Tally, options: SelectiveOptions): SelectiveCertification {
  const { unit = "document" } = options;
  const test = exitTestOf(tally, options);
  const exitPValues = pValuesOf(test);
  // A candidate without exits never exits, which is always valid.
  const pValues = exitPValues.map((exits) => Math.max(0, ...exits.map((p) => p ?? 0)));
  const risks = test.used.map((exits, candidate) =>
    Math.max(0, ...exits.map((exit) => shareWrong(test.totals, candidate * tally.exits + exit))),
  );
  const pValueAt = (candidate: number, n: number): number =>
    Math.max(0, ...test.used[candidate]!.map((exit) => test.pValueAt(candidate, exit, n)));
  const lists = (candidate: number): number => (unit === "token" ? 0 : test.used[candidate]!.length);
  const evidence = { units: test.units, pValues, risks, lists, pValueAt };
  return { ...decide("certifySelective", evidence, { ...options, bound: test.bound }), unit, exitPValues };
}

/** The p-values alone, per candidate and exit; null if the candidate does not use the exit. */
export function selectivePValues(
  tally: Tally,
  options: Omit<SelectiveOptions, "costs" | "order" | "procedure">,
): (number | null)[][] {
  return pValuesOf(exitTestOf(tally, options));
}

/** The test of a single exit, for all candidates of a tally. */
interface SingleExitTest {
  readonly bound: MeanBound;
  readonly exits: number;
  readonly units: number;
  readonly totals: TallyTotals;
  /** Per candidate, the exits that it uses. */
  readonly used: readonly (readonly number[])[];
  /** The p-value of an exit, extrapolated to n units like those seen. */
  readonly pValueAt: (candidate: number, exit: number, n: number) => number;
}

function exitTestOf(tally: Tally, options: Omit<SelectiveOptions, "costs">): SingleExitTest {
  const { epsilon, delta, unit = "document" } = options;
  requireTally("certifySelective", tally);
  requireLevels("certifySelective", options);
  const { candidates, exits, active } = tally;
  const bound: MeanBound = unit === "token" ? "clopperPearson" : (options.bound ?? "wsr");
  const totals = totalsOf(tally);
  const units = unit === "token" ? totals.tokens : unitsOf(tally);
  const pValueAt = (candidate: number, exit: number, n: number): number => {
    const at = candidate * exits + exit;
    if (totals.left[at] === 0) return 1; // no token left here, and more units like these would not change that
    if (unit === "document") {
      return meanPValue(repeatTo(excessLosses(tally, at, epsilon), n), { epsilon, delta, bound });
    }
    const left = Math.round((totals.left[at]! * n) / units);
    const wrong = Math.ceil((totals.wrong[at]! * n) / units);
    return binomialTail(Math.min(left, wrong), left, epsilon);
  };
  const all = Array.from({ length: exits }, (_, exit) => exit);
  const used = Array.from({ length: candidates }, (_, candidate) =>
    all.filter((exit) => active[candidate * exits + exit] === 1),
  );
  return { bound, exits, units, totals, used, pValueAt };
}

function pValuesOf({ used, exits, units, pValueAt }: SingleExitTest): (number | null)[][] {
  return used.map((inUse, candidate) =>
    Array.from({ length: exits }, (_, exit) => (inUse.includes(exit) ? pValueAt(candidate, exit, units) : null)),
  );
}

function shareWrong({ left, wrong }: TallyTotals, at: number): number {
  return left[at] === 0 ? 0 : wrong[at]! / left[at]!;
}

/** x of the header, per unit (the mean of its documents), for entry `at` of [candidates, exits]. */
export function excessLosses(tally: Tally, at: number, epsilon: number): Float64Array {
  const { documents, candidates, exits, lossScale = 1, tokens, left, wrong } = tally;
  const ofDocuments = Float64Array.from({ length: documents }, (_, d) => {
    const entry = d * candidates * exits + at;
    const excess = epsilon + (wrong[entry]! / lossScale - epsilon * left[entry]!) / tokens[d]!;
    return Math.min(1, Math.max(0, excess)); // rounding may leave [0, 1]
  });
  return unitMeans(ofDocuments, tally);
}
