/**
 * Conformal risk control (Angelopoulos et al., 2022): bounds the expectation E[L_{n+1}] <= α of the loss of the next
 * unit, over the draw of the calibration units too. A single draw may exceed α, even 40 % of the time: this is not a
 * promise with probability 1-δ. Rule: candidates strictest first, losses in [0, B] that only grow as candidates get
 * laxer; take the laxest with
 *   n/(n+1) R̂ + B/(n+1) <= α,   that is   R̂ <= α (n+1)/n - B/n.
 * See `conformalRiskControl` in testing.ts for losses that do not grow.
 */
import { requireInteger } from "../../errors.js";
import { requireLevel } from "./check.js";

/** The largest mean loss in [0, 1] over n units that the rule accepts; negative where n is too small for any. */
export function crcLargestRisk(n: number, level: number): number {
  requireInteger("crcLargestRisk: n", n, 1);
  requireLevel("crcLargestRisk", level);
  return (level * (n + 1) - 1) / n;
}
