/**
 * Multiple testing at level δ: which null hypotheses a list of p-values rejects, so that with probability 1 - δ no true
 * one is among them.
 *   fixed sequence   in an order fixed beforehand, while p <= δ; stops BEFORE the first failure (Bauer 1991; Learn then
 *                    Test, Angelopoulos et al. 2021). Rejecting the first failure too voids the promise
 *   Holm             in any order: the i-th smallest of m while p <= δ / (m - i + 1) (Holm 1979)
 * "Accepted" candidates are those whose null hypothesis, "its risk exceeds ε", is rejected.
 */
import { OptionError } from "../errors.js";
import { requireInside } from "./check.js";

/**
 * Returns the indices of the accepted candidates, a possibly empty prefix. Throws an OptionError for p-values outside
 * [0, 1] or a delta outside (0, 1).
 */
export function fixedSequence(pValues: readonly number[], delta: number): number[] {
  requirePValues("fixedSequence", pValues, delta);
  const failure = pValues.findIndex((p) => p > delta);
  return [...Array(failure < 0 ? pValues.length : failure).keys()];
}

/**
 * Returns the indices of the accepted candidates, ascending. Needs no order, and divides δ: for levels, seeds or
 * certificates of which the best is kept. Throws as `fixedSequence` does.
 */
export function holm(pValues: readonly number[], delta: number): number[] {
  requirePValues("holm", pValues, delta);
  const order = [...pValues.keys()].sort((a, b) => pValues[a]! - pValues[b]!);
  const failure = order.findIndex((at, i) => pValues[at]! > delta / (order.length - i));
  return order.slice(0, failure < 0 ? order.length : failure).sort((a, b) => a - b);
}

function requirePValues(where: string, pValues: readonly number[], delta: number): void {
  requireInside(`${where}: delta`, delta);
  const bad = pValues.findIndex((p) => !(p >= 0 && p <= 1));
  if (bad < 0) return;
  throw new OptionError("p-value-range", `${where}: p-value ${bad} is ${pValues[bad]!}; expected a number in [0, 1]`, {
    index: bad,
  });
}
