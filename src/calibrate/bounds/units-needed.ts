/**
 * How many units a certificate needs. Without any error, (1-ε)ⁿ <= δ must hold: n >= ln δ / ln(1-ε). With errors there
 * is no formula, but p-values fall as n grows at a fixed error rate below ε, so the n is searched for. The answer
 * supposes that further units look like those already seen: a plan, not a promise.
 */
import { requireInteger } from "../../errors.js";
import { requireDelta, requireLevel } from "./check.js";

/** Fewest units, all free of error, that certify "risk <= level" at confidence 1 - delta. */
export function errorFreeUnits(level: number, delta: number): number {
  requireLevel("errorFreeUnits", level);
  requireDelta("errorFreeUnits", delta);
  return Math.ceil(Math.log(delta) / Math.log1p(-level));
}

/**
 * About the least n >= from with pValueAt(n) <= delta, or undefined where none up to `max` is found. `pValueAt(n)` is
 * the p-value that n units would give at the error rate seen; it need not fall strictly.
 */
export function unitsNeeded(
  pValueAt: (n: number) => number,
  from: number,
  delta: number,
  max: number,
): number | undefined {
  requireInteger("unitsNeeded: from", from, 1);
  requireDelta("unitsNeeded", delta);
  let low = from - 1;
  let high = from;
  while (pValueAt(high) > delta) {
    if (high >= max) return undefined;
    [low, high] = [high, Math.min(max, 2 * high)];
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (pValueAt(middle) > delta) low = middle;
    else high = middle;
  }
  return high;
}
