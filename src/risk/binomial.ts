/**
 * The exact binomial tail P(Bin(n, p) <= k). It equals the regularised incomplete beta function I_{1-p}(n-k, k+1),
 * whose continued fraction loses digits if p is tiny, so the tail is summed:
 *   P(Bin <= k) = pmf(k) (1 + r_k + r_k r_{k-1} + …),   r_i = pmf(i-1)/pmf(i) = i q / ((n-i+1) p)
 * Below the mean the sum runs from k downwards. Above the mean the result is one minus the mirrored sum, and not small.
 * Terms are positive and decay like a bell curve, so O(√n) of them matter. pmf(k) uses Loader's saddle-point expansion
 * (`deviance`). Relative error: below 1e-11 for n up to 1e7 and tails down to 1e-300; smaller tails may underflow to
 * 0.
 */
import { OptionError, requireInteger, requireNumber } from "../errors.js";
import { type MeanBound, requireInside, requireLosses, smallest } from "./check.js";

/** P(Bin(n, p) <= k): the probability of at most k errors in n trials with error probability p. */
export function binomialTail(k: number, n: number, p: number): number {
  requireInteger("binomialTail: n", n, 0);
  requireInteger("binomialTail: k", k, 0, n);
  requireNumber("binomialTail: p", p, 1);
  if (k === n || p === 0) return 1;
  if (p === 1) return 0;
  const q = 1 - p;
  if (k < n * p) return Math.min(1, lowerSum(k, n, p, q));
  return Math.max(0, 1 - lowerSum(n - k - 1, n, q, p)); // P(Bin(n, p) > k) = P(Bin(n, q) <= n-k-1)
}

// Two functions that keep the digits of binomial quantities if n is large (C. Loader, "Fast and accurate computation of
// binomial probabilities", 2000).
//   deviance(x, m)    = x ln(x/m) + m - x           >= 0, and 0 at x = m; n KL(Bernoulli) is the sum of two deviances
//   stirlingError(n)  = ln n! - ln(√(2πn) (n/e)ⁿ)   the error of Stirling's formula

/** x ln(x/m) + m - x, for x >= 0 and m > 0, without cancellation if x is close to m. */
export function deviance(x: number, m: number): number {
  if (x / m === 0) return m; // x ln x vanishes with x, and x / m may do so before x
  if (Math.abs(x - m) >= 0.1 * (x + m)) return x * Math.log(x / m) + m - x;
  // With v = (x-m)/(x+m), ln(x/m) = 2(v + v³/3 + v⁵/5 + …); the first-order terms cancel analytically.
  const v = (x - m) / (x + m);
  let sum = (x - m) * v;
  let power = 2 * x * v;
  for (let odd = 3; ; odd += 2) {
    power *= v * v;
    const next = sum + power / odd;
    if (next === sum) return sum;
    sum = next;
  }
}

/** ln n! minus Stirling's formula, for an integer n >= 0; 0 at n = 0, which callers treat separately. */
function stirlingError(n: number): number {
  if (n === 0) return 0;
  if (n < 16) return logFactorials[n]! - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI);
  const square = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n;
}

/** ln n! for n = 0..15, from exact factorials. */
const logFactorials = Array.from({ length: 16 }, (_, n) =>
  Math.log(Array.from({ length: n }, (_unused, i) => i + 1).reduce((product, factor) => product * factor, 1)),
);

/** P(Bin(n, p) = k), for p in (0, 1). `q` is 1-p: computing it here would lose the digits of a small p. */
function pmf(k: number, n: number, p: number, q: number): number {
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
/**
 * Bounds the mean of losses that are 0 or 1 exactly, from the number k of losses of 1 among n:
 *   p-value   P(Bin(n, level) <= k)
 *   upper     the p with P(Bin(n, p) <= k) = delta, which is BetaInv(1 - delta; k + 1, n - k): 1 if every loss is 1,
 *             1 - delta^(1/n) if none is
 * Losses must be 0 or 1 by definition, not only in this sample. Throws an OptionError for another loss, and for a level
 * or delta outside (0, 1). Clopper and Pearson, "The use of confidence or fiducial limits" (1934).
 */
export function clopperPearson(losses: ArrayLike<number>, level: number, delta: number): MeanBound {
  const k = requireLosses("clopperPearson", losses);
  requireInside("clopperPearson: level", level);
  requireInside("clopperPearson: delta", delta);
  requireBinary("clopperPearson", losses);
  const n = losses.length;
  return { mean: k / n, pValue: binomialTail(k, n, level), upper: upperLimit(k, n, delta) };
}

/** Throws an OptionError for losses that are neither 0 nor 1. */
export function requireBinary(where: string, losses: ArrayLike<number>): void {
  for (let i = 0; i < losses.length; i++) {
    const loss = losses[i]!;
    if (loss === 0 || loss === 1) continue;
    throw new OptionError(
      "loss-binary",
      `${where}: loss ${i} is ${loss}; the exact binomial test takes losses of 0 or 1, the betting bound takes others`,
      { index: i, loss },
    );
  }
}

function upperLimit(k: number, n: number, delta: number): number {
  if (k === n) return 1;
  if (k === 0) return -Math.expm1(Math.log(delta) / n);
  return smallest((p) => binomialTail(k, n, p) <= delta);
}
