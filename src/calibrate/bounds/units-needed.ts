/**
 * The number of units that a certificate needs.
 *   without errors   (1-ε)ⁿ <= δ, so n >= ln δ / ln(1-ε)
 *   with errors      no formula; p-values decrease as n grows at a fixed error rate below ε, so a search finds n
 * An estimate: further units are assumed to resemble those seen.
 */
import { requireInteger } from "../../errors.js";
import { requireDelta, requireLevel } from "./check.js";

/** The smallest number of error-free units that certifies "risk <= level" at confidence 1 - delta. */
export function errorFreeUnits(level: number, delta: number): number {
  requireLevel("errorFreeUnits", level);
  requireDelta("errorFreeUnits", delta);
  return Math.ceil(Math.log(delta) / Math.log1p(-level));
}

/**
 * Approximately the smallest n >= from with pValueAt(n) <= delta, the p-value of n units at the observed error rate;
 * undefined if there is none up to `max`. It need not decrease strictly.
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
    low = high;
    high = Math.min(max, 2 * high);
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (pValueAt(middle) > delta) low = middle;
    else high = middle;
  }
  return high;
}
