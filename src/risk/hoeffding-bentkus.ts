/**
 * The Hoeffding-Bentkus bound on the mean R of n independent losses in [0, 1], from their mean R̂ alone (Bates et al.,
 * "Distribution-free, risk-controlling prediction sets", 2021). For the null hypothesis "R > α":
 *   p = min{ exp(-n h(min(R̂, α), α)),  e · P(Bin(n, α) <= ceil(n R̂)) }
 *   h(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b))
 * It treats losses as if each were 0 or 1, so it is loose where they vary little: see betting-bound.ts.
 */
import { binomialTail, deviance } from "./binomial.js";
import { type MeanBound, requireInside, requireLosses, smallest } from "./check.js";

/**
 * Bounds the mean of losses in [0, 1], in any order: their p-value p at `level`, and the smallest α with p <= delta as
 * upper limit. Throws an OptionError for losses outside [0, 1], and for a level or delta outside (0, 1).
 */
export function hoeffdingBentkus(losses: ArrayLike<number>, level: number, delta: number): MeanBound {
  const sum = requireLosses("hoeffdingBentkus", losses);
  requireInside("hoeffdingBentkus: level", level);
  requireInside("hoeffdingBentkus: delta", delta);
  const n = losses.length;
  const pValueAt = (alpha: number): number => hoeffdingBentkusPValue(sum, n, alpha);
  return { mean: sum / n, pValue: pValueAt(level), upper: smallest((alpha) => pValueAt(alpha) <= delta) };
}

/**
 * p-value for "mean loss > level". Takes the sum of the losses, because n times a rounded mean may fall on the wrong
 * side of an integer.
 */
export function hoeffdingBentkusPValue(lossSum: number, n: number, level: number): number {
  const expected = n * level;
  // n h(R̂, α) is the sum of two deviances, which keeps its digits if R̂ is close to α.
  const hoeffding =
    lossSum >= expected ? 1 : Math.exp(-deviance(lossSum, expected) - deviance(n - lossSum, n * (1 - level)));
  const bentkus = Math.E * binomialTail(Math.ceil(lossSum), n, level);
  return Math.min(1, hoeffding, bentkus);
}
