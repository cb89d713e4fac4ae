/**
 * Bounds on the mean R of n independent losses in [0, 1] that know their sample mean R̂ alone.
 *   Hoeffding (1963)    P(R > R̂ + sqrt(ln(1/δ) / 2n)) <= δ
 *   Hoeffding-Bentkus   (Bates et al., "Distribution-free, risk-controlling prediction sets", 2021) for the null
 *                       hypothesis "R > α":
 *                         p = min{ exp(-n h(min(R̂, α), α)),  e · P(Bin(n, α) <= ceil(n R̂)) }
 *                         h(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b))
 * The first ignores the variance, so it is loose for rare errors; the second treats losses as if each were 0 or 1. See
 * wsr.ts.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { binomialTail, deviance } from "./binomial.js";
import { requireInside } from "./check.js";

/** Hoeffding's upper limit of the mean, from the sum of the losses. */
export function hoeffdingUpper(lossSum: number, n: number, delta: number): number {
  requireInteger("hoeffdingUpper: n", n, 1);
  requireNumber("hoeffdingUpper: lossSum", lossSum, 0, n);
  requireInside("hoeffdingUpper: delta", delta);
  return Math.min(1, lossSum / n + Math.sqrt(-Math.log(delta) / (2 * n)));
}

/**
 * p-value for "mean loss > level". Takes the sum of the losses, because n times a rounded mean may fall on the wrong
 * side of an integer.
 */
export function hoeffdingBentkusPValue(lossSum: number, n: number, level: number): number {
  requireInteger("hoeffdingBentkusPValue: n", n, 1);
  requireNumber("hoeffdingBentkusPValue: lossSum", lossSum, 0, n);
  requireInside("hoeffdingBentkusPValue: level", level);
  const expected = n * level;
  // n h(R̂, α) is the sum of two deviances, which keeps its digits if R̂ is close to α.
  const hoeffding =
    lossSum >= expected ? 1 : Math.exp(-deviance(lossSum, expected) - deviance(n - lossSum, n * (1 - level)));
  const bentkus = Math.E * binomialTail(Math.ceil(lossSum), n, level);
  return Math.min(1, hoeffding, bentkus);
}
