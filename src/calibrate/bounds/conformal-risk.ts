/**
 * Conformal risk control (Angelopoulos et al., 2022): bounds the expected loss of the next unit, E[L_{n+1}] <= α. The
 * expectation includes the draw of the n calibration units; the units must be exchangeable. A single draw may exceed α,
 * even 40 % of the time: this is no guarantee with probability 1-δ. Order the candidates from strict to lax, with
 * losses in [0, B] that never decrease along the order, and take the laxest candidate with
 *   n/(n+1) R̂ + B/(n+1) <= α,   that is   R̂ <= α (n+1)/n - B/n
 * `conformalRiskControl` (../procedures) handles losses that do decrease.
 */
import { requireInteger } from "../../errors.js";
import { requireLevel } from "./check.js";

/** The largest mean loss over n units, in [0, 1], that the rule accepts; negative if n is too small to accept any. */
export function crcLargestRisk(n: number, level: number): number {
  requireInteger("crcLargestRisk: n", n, 1);
  requireLevel("crcLargestRisk", level);
  return (level * (n + 1) - 1) / n;
}
