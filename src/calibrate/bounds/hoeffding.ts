/**
 * Hoeffding's bound (1963) on the mean R of independent losses in [0, 1], from their sample mean R̂ over n units:
 *   limit     P(R > R̂ + sqrt(ln(1/δ) / 2n)) <= δ
 *   p-value   exp(-2n (α - R̂)²) for the null hypothesis "R > α", if R̂ < α; otherwise 1
 * It ignores the variance, so it is loose for rare errors; see wsr.ts and hoeffding-bentkus.ts.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { requireDelta, requireLevel } from "./check.js";

/** sqrt(ln(1/δ) / 2n), the distance of the upper limit from the sample mean. */
export function hoeffdingSlack(n: number, delta: number): number {
  requireInteger("hoeffdingSlack: n", n, 1);
  requireDelta("hoeffdingSlack", delta);
  return Math.sqrt(-Math.log(delta) / (2 * n));
}

export function hoeffdingUpper(lossSum: number, n: number, delta: number): number {
  requireNumber("hoeffdingUpper: lossSum", lossSum, 0, n);
  return Math.min(1, lossSum / n + hoeffdingSlack(n, delta));
}

/** p-value for the null hypothesis "mean loss > level". */
export function hoeffdingPValue(lossSum: number, n: number, level: number): number {
  requireInteger("hoeffdingPValue: n", n, 1);
  requireNumber("hoeffdingPValue: lossSum", lossSum, 0, n);
  requireLevel("hoeffdingPValue", level);
  return Math.exp(-2 * n * Math.max(0, level - lossSum / n) ** 2);
}
