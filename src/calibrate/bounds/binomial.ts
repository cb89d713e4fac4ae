/**
 * The exact binomial tail P(Bin(n, p) <= k). It equals the regularised incomplete beta function I_{1-p}(n-k, k+1),
 * whose continued fraction loses digits if p is tiny, so the tail is summed:
 *   P(Bin <= k) = pmf(k) (1 + r_k + r_k r_{k-1} + …),   r_i = pmf(i-1)/pmf(i) = i q / ((n-i+1) p)
 * Below the mean the sum runs from k downwards. Above the mean the result is one minus the mirrored sum, and not small.
 * Terms are positive and decay like a bell curve, so O(√n) of them matter. pmf(k) uses Loader's saddle-point expansion
 * (deviance.ts). Relative error: below 1e-11 for n up to 1e7 and tails down to 1e-300; smaller tails may underflow to
 * 0.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { deviance, stirlingError } from "./deviance.js";

/** P(Bin(n, p) = k), for 0 <= k <= n. */
export function binomialPmf(k: number, n: number, p: number): number {
  checkBinomial("binomialPmf", k, n, p);
  return pmf(k, n, p, 1 - p);
}

/** P(Bin(n, p) <= k): the probability of at most k errors in n trials with error probability p. */
export function binomialTail(k: number, n: number, p: number): number {
  checkBinomial("binomialTail", k, n, p);
  if (k === n || p === 0) return 1;
  if (p === 1) return 0;
  const q = 1 - p;
  if (k < n * p) return Math.min(1, lowerSum(k, n, p, q));
  return Math.max(0, 1 - lowerSum(n - k - 1, n, q, p)); // P(Bin(n, p) > k) = P(Bin(n, q) <= n-k-1)
}

function checkBinomial(where: string, k: number, n: number, p: number): void {
  requireInteger(`${where}: n`, n, 0);
  requireInteger(`${where}: k`, k, 0, n);
  requireNumber(`${where}: p`, p, 0, 1);
}

/** `q` is 1-p: computing it here would lose the digits of a small p. */
function pmf(k: number, n: number, p: number, q: number): number {
  if (p === 0 || q === 0) return k === (p === 0 ? 0 : n) ? 1 : 0;
  if (k === 0) return Math.exp(n * logOf(q, p));
  if (k === n) return Math.exp(n * logOf(p, q));
  const exponent =
    stirlingError(n) - stirlingError(k) - stirlingError(n - k) - deviance(k, n * p) - deviance(n - k, n * q);
  return Math.sqrt(n / (2 * Math.PI * k * (n - k))) * Math.exp(exponent);
}

/** ln x; `complement` is 1-x, so that no x near 0 or 1 loses digits. */
const logOf = (x: number, complement: number): number => (complement < 0.5 ? Math.log1p(-complement) : Math.log(x));

/** Σ_{i<=k} pmf(i), for k at or below the mean: each term is smaller than the one before. */
function lowerSum(k: number, n: number, p: number, q: number): number {
  let term = 1;
  let sum = 1;
  for (let i = k; i > 0 && term > sum * 1e-17; i--) {
    term *= (i * q) / ((n - i + 1) * p);
    sum += term;
  }
  return pmf(k, n, p, q) * sum;
}
