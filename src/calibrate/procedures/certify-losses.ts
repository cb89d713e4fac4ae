/**
 * Claim (A): E[loss of a document] <= ε, for any loss in [0, 1] (share of changed tokens, any change, …). From the
 * losses of candidates on calibration documents to the cheapest candidate that is proven good enough:
 *   one p-value per candidate for "its mean loss exceeds ε"  ->  multiple testing  ->  the cheapest accepted candidate
 * P(a candidate that breaks the claim is accepted) <= δ, for candidates and an order fixed on other data
 * (docs/06-calibration.md). `decide`, the last two steps, also serves claim (B) (certify-selective.ts).
 */
import { OptionError, requireInteger } from "../../errors.js";
import { requireDelta, requireLevel, unitsNeeded } from "../bounds/index.js";
import { bonferroni, fixedSequence } from "./fixed-sequence.js";
import { type MeanBound, meanPValue, sumOf } from "./mean-p-value.js";
import { columnOf, type LossMatrix, repeatTo, requireLossMatrix } from "./tally.js";

export type Procedure = "fixedSequence" | "bonferroni";

export interface CertifyOptions {
  /** The largest permitted risk, 1 - agreement, in (0, 1). */
  readonly epsilon: number;
  /** The probability that the certificate is wrong, in (0, 1). */
  readonly delta: number;
  /** The cost of a token under each candidate. The cheapest accepted one is chosen; on ties, the first in the order. */
  readonly costs: readonly number[];
  /**
   * Candidates in the order of testing, each at most once. Must be fixed without looking at these losses.
   * @default their own order
   */
  readonly order?: readonly number[];
  /** @default "wsr" */
  readonly bound?: MeanBound;
  /** @default "fixedSequence" */
  readonly procedure?: Procedure;
}

export interface Certification {
  readonly epsilon: number;
  readonly delta: number;
  readonly bound: MeanBound;
  readonly procedure: Procedure;
  readonly units: number;
  readonly order: readonly number[];
  /** Per candidate, the p-value for the null hypothesis "its risk exceeds epsilon". */
  readonly pValues: readonly number[];
  /** Per candidate, the mean loss, or the worst exit's share of wrong tokens (0, not NaN, if no token left). */
  readonly risks: readonly number[];
  /** Accepted candidates in the order of testing. */
  readonly accepted: readonly number[];
  /** The cheapest accepted candidate; "never" (exit) if none is accepted. */
  readonly chosen: number | "never";
  /**
   * About how many more units like these would certify the candidate that came closest, of those that were tested; 0 if
   * a candidate is accepted, null if no number of units would.
   */
  readonly furtherUnits: number | null;
}

/**
 * Certifies a mean loss. Throws an OptionError for levels outside (0, 1), losses outside [0, 1] and lengths that do not
 * match.
 */
export function certifyLosses(losses: LossMatrix, options: CertifyOptions): Certification {
  const { epsilon, delta, bound = "wsr" } = options;
  requireLossMatrix("certifyLosses", losses);
  requireLevels("certifyLosses", options);
  const { units, candidates } = losses;
  const columns = Array.from({ length: candidates }, (_, candidate) => columnOf(losses, candidate));
  const pValueOf = (column: Float64Array): number => meanPValue(column, { epsilon, delta, bound });
  const evidence: CandidateEvidence = {
    units,
    pValues: columns.map(pValueOf),
    risks: columns.map((column) => sumOf(column) / units),
    pValueAt: (candidate, n) => pValueOf(repeatTo(columns[candidate]!, n)),
  };
  return decide("certifyLosses", evidence, options);
}

/** What the units show about each candidate. */
export interface CandidateEvidence {
  readonly units: number;
  /** [candidates] */
  readonly pValues: readonly number[];
  /** [candidates] */
  readonly risks: readonly number[];
  /** How many lists of losses the p-value of a candidate takes; 0 if it takes none. @default 1 */
  readonly lists?: (candidate: number) => number;
  /** Extrapolates a candidate's p-value to n units like those seen. */
  readonly pValueAt: (candidate: number, n: number) => number;
}

/** Tests the candidates, chooses the cheapest accepted one, or estimates how many more units are needed. */
export function decide(where: string, evidence: CandidateEvidence, options: CertifyOptions): Certification {
  const { units, pValues, risks } = evidence;
  const { epsilon, delta, costs, bound = "wsr", procedure = "fixedSequence" } = options;
  const order = options.order ?? pValues.map((_, i) => i);
  requireCosts(where, costs, pValues.length);
  requireOrder(where, order, pValues.length);
  const test = procedure === "fixedSequence" ? fixedSequence : bonferroni;
  const inOrder = order.map((candidate) => pValues[candidate]!);
  const accepted = test(inOrder, delta).map((i) => order[i]!);
  const cheaper = (best: number, candidate: number): number => (costs[candidate]! < costs[best]! ? candidate : best);
  const chosen = accepted.length > 0 ? accepted.reduce(cheaper) : "never";
  /** A fixed sequence ends at its first candidate if nothing is accepted. */
  const tested = procedure === "bonferroni" ? order : order.slice(0, 1);
  const share = procedure === "bonferroni" ? delta / order.length : delta;
  return {
    epsilon,
    delta,
    bound,
    procedure,
    units,
    order: [...order],
    pValues,
    risks,
    accepted,
    chosen,
    furtherUnits: chosen === "never" ? furtherUnits(evidence, tested, { epsilon, delta: share }) : 0,
  };
}

export function requireLevels(where: string, { epsilon, delta }: Pick<CertifyOptions, "epsilon" | "delta">): void {
  requireLevel(`${where}, epsilon`, epsilon);
  requireDelta(where, delta);
}

/** Losses, of all lists together, to which those of the units are repeated: a verifier does it again, in seconds. */
const REPEATED = 500_000;

/** Searches up to a hundred times the available units: the sample says too little about larger ones. */
function furtherUnits(
  { units, pValues, risks, lists = () => 1, pValueAt }: CandidateEvidence,
  order: readonly number[],
  { epsilon, delta }: Pick<CertifyOptions, "epsilon" | "delta">,
): number | null {
  const hopeful = order.filter((candidate) => risks[candidate]! < epsilon);
  if (hopeful.length === 0) return null;
  const closest = hopeful.reduce((best, candidate) => (pValues[candidate]! < pValues[best]! ? candidate : best));
  const longest = Math.max(units, Math.floor(REPEATED / lists(closest)));
  const needed = unitsNeeded((n) => pValueAt(closest, n), units, delta, Math.min(100 * units, longest));
  return needed === undefined ? null : needed - units;
}

function requireCosts(where: string, costs: readonly number[], candidates: number): void {
  if (costs.length !== candidates) {
    throw new OptionError("lengths-differ", `${where}: ${costs.length} costs for ${candidates} candidates`, {
      costs: costs.length,
      candidates,
    });
  }
  const bad = costs.findIndex((cost) => !Number.isFinite(cost));
  if (bad >= 0) {
    throw new OptionError(
      "option-range",
      `${where}: the cost of candidate ${bad} is ${costs[bad]!}; expected a finite number`,
      { candidate: bad },
    );
  }
}

function requireOrder(where: string, order: readonly number[], candidates: number): void {
  for (const candidate of order) requireInteger(`${where}: order`, candidate, 0, candidates - 1);
  if (new Set(order).size !== order.length) {
    throw new OptionError("order-repeats", `${where}: the order names a candidate twice; list each at most once`, {
      order,
    });
  }
}
