/**
 * The verifier's own p-values of the null hypothesis "the mean of these losses exceeds the level", for n losses in
 * [0, 1] with mean m:
 *   hoeffding           exp(-2 n (level - m)²)
 *   hoeffdingBentkus    min(exp(-n kl(m, level)), e · P(Bin(n, level) <= ⌈n m⌉))
 *   clopperPearson      P(Bin(n, level) <= n m), for losses of 0 or 1
 *   wsr                 1 / the largest wealth of a bettor against "mean > level" (Waudby-Smith and Ramdas 2024)
 */
import type { Certificate } from "../certificate/index.js";
import { binomialAtMost } from "./verify-binomial.js";
import { sum } from "./verify-values.js";

export interface MeanHypothesis {
  /** The largest risk allowed, 1 - agreement. */
  readonly level: number;
  /** Fixes the bettor's stakes (wsr). */
  readonly delta: number;
  readonly bound: Certificate["bound"];
}

/** The p-value of the losses, in the order of the documents. */
export function meanP(losses: readonly number[], { level, delta, bound }: MeanHypothesis): number {
  const n = losses.length;
  const total = sum(losses);
  const mean = total / n;
  switch (bound) {
    case "hoeffding":
      return Math.exp(-2 * n * Math.max(0, level - mean) ** 2);
    case "hoeffdingBentkus":
      return Math.min(1, Math.exp(-n * divergence(mean, level)), Math.E * binomialAtMost(Math.ceil(total), n, level));
    case "clopperPearson":
      return binomialAtMost(total, n, level);
    case "wsr":
      return bettingP(losses, level, delta);
    case "binomial":
    case "crc":
      throw new Error(`bound "${bound}" has no p-value for means`);
  }
}

/** kl(mean, level) between two coins; 0 if the mean is not below the level. */
function divergence(mean: number, level: number): number {
  if (mean >= level) return 0;
  return (mean === 0 ? 0 : mean * Math.log(mean / level)) + (1 - mean) * Math.log((1 - mean) / (1 - level));
}

/** The bettor fixes each stake before the loss is seen, from the losses so far. */
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
