/**
 * The Hoeffding-Bentkus p-value (Bates et al., "Distribution-free, risk-controlling prediction sets", 2021) for the
 * null hypothesis "mean loss > α", from n independent losses in [0, 1] with sample mean R̂:
 *   p = min{ exp(-n h(min(R̂, α), α)),  e · P(Bin(n, α) <= ceil(n R̂)) }
 *   h(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b))
 * It uses only the mean, so it treats losses as if each were 0 or 1.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { binomialTail } from "./binomial.js";
import { requireLevel } from "./check.js";
import { deviance } from "./deviance.js";

/**
 * p-value for "mean loss > level". Takes the sum of the losses, because n times a rounded mean may fall on the wrong
 * side of an integer.
 */
export function hoeffdingBentkusPValue(lossSum: number, n: number, level: number): number {
  requireInteger("hoeffdingBentkusPValue: n", n, 1);
  requireNumber("hoeffdingBentkusPValue: lossSum", lossSum, 0, n);
  requireLevel("hoeffdingBentkusPValue", level);
  const expected = n * level;
  // n h(R̂, α) is the sum of two deviances, which keeps its digits if R̂ is close to α.
  const hoeffding =
    lossSum >= expected ? 1 : Math.exp(-deviance(lossSum, expected) - deviance(n - lossSum, n * (1 - level)));
  const bentkus = Math.E * binomialTail(Math.ceil(lossSum), n, level);
  return Math.min(1, hoeffding, bentkus);
}
