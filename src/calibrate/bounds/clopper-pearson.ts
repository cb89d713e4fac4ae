/**
 * Clopper-Pearson limits (1934) for a probability, from k errors in n independent trials: the exact binomial test,
 * inverted.
 *   upper  U(k, n, δ) = the p with P(Bin(n, p) <= k) = δ, so P(true p > U) <= δ
 *          U <= α exactly if P(Bin(n, α) <= k) <= δ
 *   lower  L(k, n, δ) = 1 - U(n-k, n, δ)
 * As a quantile, U = BetaInv(1-δ; k+1, n-k). For an interval, give each side δ/2.
 */
import { binomialTail } from "./binomial.js";
import { requireCounts, requireDelta } from "./check.js";

/** Upper limit: 1 if every trial is an error, 1 - δ^(1/n) if none is. */
export function clopperPearsonUpper(k: number, n: number, delta: number): number {
  requireCounts("clopperPearsonUpper", k, n);
  requireDelta("clopperPearsonUpper", delta);
  if (k === n) return 1;
  if (k === 0) return -Math.expm1(Math.log(delta) / n);
  // The tail decreases in p. Bisect until both ends are adjacent floats; return the safe end.
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (binomialTail(k, n, middle) > delta) low = middle;
    else high = middle;
  }
}

/** Lower limit: 0 if no trial is an error, δ^(1/n) if every one is. */
export function clopperPearsonLower(k: number, n: number, delta: number): number {
  requireCounts("clopperPearsonLower", k, n);
  requireDelta("clopperPearsonLower", delta);
  if (k === 0) return 0;
  if (k === n) return Math.exp(Math.log(delta) / n);
  return 1 - clopperPearsonUpper(n - k, n, delta);
}
