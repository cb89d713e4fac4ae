/**
 * From evidence about each candidate to a set of accepted ones. The candidates are fixed before the data are seen.
 *   fixedSequence   in a fixed order while p <= δ, ending BEFORE the first failure (Bauer 1991; Learn-then-Test, Angelopoulos et al. 2021)
 *   bonferroni      every candidate with p <= δ/m: no order needed, less power
 *     both: P(any accepted candidate has risk > α) <= δ, whatever the shape of the risk along the candidates
 *   conformalRiskControl   the laxest candidate whose corrected mean loss is <= α: bounds the expectation only (bounds/conformal-risk.ts)
 * Taking one candidate past the failure voids the promise: that one is typically just above α.
 */
import { OptionError } from "../../errors.js";
import { crcLargestRisk, requireDelta, requireLevel } from "../bounds/index.js";

/** Indices accepted: a prefix of the sequence, possibly empty. p-values in the order of testing. */
export function fixedSequence(pValues: readonly number[], delta: number): number[] {
  requirePValues("fixedSequence", pValues);
  requireDelta("fixedSequence", delta);
  const failure = pValues.findIndex((p) => p > delta);
  return Array.from({ length: failure < 0 ? pValues.length : failure }, (_, i) => i);
}

/** Indices accepted, ascending. */
export function bonferroni(pValues: readonly number[], delta: number): number[] {
  requirePValues("bonferroni", pValues);
  requireDelta("bonferroni", delta);
  return pValues.flatMap((p, i) => (p <= delta / pValues.length ? [i] : []));
}

/** Losses of units under candidates, each in [0, 1]. */
export interface LossMatrix {
  readonly units: number;
  readonly candidates: number;
  /** [units, candidates], row after row. */
  readonly values: Float64Array;
}

export interface RiskControlResult {
  /** Indices accepted: the prefix of the sequence up to the laxest candidate allowed. */
  readonly accepted: readonly number[];
  /** Per candidate, the mean over units of the largest loss among it and all stricter candidates. */
  readonly worstSoFar: readonly number[];
}

/**
 * Conformal risk control at level α, candidates ordered strictest first. It needs losses that grow from candidate to
 * candidate; those of early exits need not, so each unit's loss is replaced by its largest among this candidate and all
 * stricter ones, which does grow and is never smaller.
 */
export function conformalRiskControl(losses: LossMatrix, level: number): RiskControlResult {
  requireLossMatrix("conformalRiskControl", losses);
  requireLevel("conformalRiskControl", level);
  const { units, candidates, values } = losses;
  const sums = new Float64Array(candidates);
  for (let unit = 0; unit < units; unit++) {
    let worst = 0;
    for (let candidate = 0; candidate < candidates; candidate++) {
      worst = Math.max(worst, values[unit * candidates + candidate]!);
      sums[candidate]! += worst;
    }
  }
  const worstSoFar = Array.from(sums, (sum) => sum / units);
  // they grow: none passes after the first failure
  const failure = worstSoFar.findIndex((risk) => risk > crcLargestRisk(units, level));
  return { accepted: Array.from({ length: failure < 0 ? candidates : failure }, (_, i) => i), worstSoFar };
}

/**
 * Throws an OptionError unless there is at least one unit and one candidate, the sizes agree and every loss is in [0,
 * 1].
 */
export function requireLossMatrix(where: string, { units, candidates, values }: LossMatrix): void {
  if (units < 1 || candidates < 1) {
    throw new OptionError(
      "losses-empty",
      `${where}: ${units} units and ${candidates} candidates; give at least one of each`,
      { units, candidates },
    );
  }
  if (values.length !== units * candidates) {
    throw new OptionError(
      "lengths-differ",
      `${where}: ${units} units x ${candidates} candidates need ${units * candidates} losses, found ${values.length}`,
      { units, candidates, losses: values.length },
    );
  }
  const bad = values.findIndex((loss) => !(loss >= 0 && loss <= 1));
  if (bad >= 0) {
    throw new OptionError(
      "loss-range",
      `${where}: the loss of unit ${Math.floor(bad / candidates)} under candidate ${bad % candidates} ` +
        `is ${values[bad]!}; expected a number in [0, 1]`,
      { unit: Math.floor(bad / candidates), candidate: bad % candidates },
    );
  }
}

function requirePValues(where: string, pValues: readonly number[]): void {
  const bad = pValues.findIndex((p) => !(p >= 0 && p <= 1));
  if (bad >= 0) {
    throw new OptionError(
      "p-value-range",
      `${where}: p-value ${bad} is ${pValues[bad]!}; expected a number in [0, 1]`,
      { index: bad },
    );
  }
}
