/**
 * Multiple testing: from one p-value per candidate to the set of accepted candidates. Both procedures control the
 * family-wise error, P(some accepted candidate has risk > ε) <= δ, whatever the shape of the risk along the candidates.
 *   fixedSequence   test in a fixed order while p <= δ; stop BEFORE the first failure
 *                   (Bauer 1991; Learn then Test, Angelopoulos et al. 2021)
 *   bonferroni      accept every candidate with p <= δ/m: needs no order, has less power
 * Candidates and their order must be fixed before the data are seen. Accepting the first candidate that fails voids the
 * guarantee: its risk is typically just above ε.
 */
import { OptionError } from "../../errors.js";
import { requireDelta } from "../bounds/index.js";

/** Returns the indices of the accepted candidates, a possibly empty prefix. Takes p-values in the order of testing. */
export function fixedSequence(pValues: readonly number[], delta: number): number[] {
  requirePValues("fixedSequence", pValues);
  requireDelta("fixedSequence", delta);
  const failure = pValues.findIndex((p) => p > delta);
  return Array.from({ length: failure < 0 ? pValues.length : failure }, (_, i) => i);
}

/** Returns the indices of the accepted candidates in ascending order. */
export function bonferroni(pValues: readonly number[], delta: number): number[] {
  requirePValues("bonferroni", pValues);
  requireDelta("bonferroni", delta);
  return pValues.flatMap((p, i) => (p <= delta / pValues.length ? [i] : []));
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
