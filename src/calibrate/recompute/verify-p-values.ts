/**
 * The verifier's own p-values of the null hypothesis "the mean of these losses exceeds the level", for n losses in
 * [0, 1]. Where each loss is 0 or 1 by definition (any change, in single documents)
 *   P(Bin(n, level) <= their sum)
 * and otherwise
 *   1 / the largest wealth of a bettor against "mean > level" (Waudby-Smith and Ramdas 2024)
 */
import type { Certificate } from "../certificate/certificate.js";
import { binomialAtMost } from "./verify-binomial.js";
import { sum } from "./verify-values.js";

/** Losses are in the order of the documents. */
export function meanP({ loss, unit, agreement, delta }: Certificate, losses: readonly number[]): number {
  const level = 1 - agreement;
  if (loss === "anyChange" && unit === "document") return binomialAtMost(sum(losses), losses.length, level);
  return bettingP(losses, level, delta);
}

/** Fixes each stake from the losses so far; delta sets its size. */
function bettingP(losses: readonly number[], level: number, delta: number): number {
  let total = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  let wealth = 0; // its logarithm
  let largest = 0;
  losses.forEach((loss, i) => {
    const stake = Math.min(1, Math.sqrt((-2 * Math.log(delta)) / (losses.length * variance)));
    wealth += Math.log1p(-stake * (loss - level));
    largest = Math.max(largest, wealth);
    total += loss;
    squares += (loss - total / (i + 2)) ** 2;
    variance = squares / (i + 2);
  });
  return Math.exp(-largest);
}
