/**
 * Two functions that keep the digits of binomial quantities if n is large (C. Loader, "Fast and accurate computation of
 * binomial probabilities", 2000).
 *   deviance(x, m)    = x ln(x/m) + m - x           >= 0, and 0 at x = m; n KL(Bernoulli) is the sum of two deviances
 *   stirlingError(n)  = ln n! - ln(√(2πn) (n/e)ⁿ)   the error of Stirling's formula
 */

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
export function stirlingError(n: number): number {
  if (n === 0) return 0;
  if (n < 16) return logFactorials[n]! - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI);
  const square = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n;
}

/** ln n! for n = 0..15, from exact factorials. */
const logFactorials = Array.from({ length: 16 }, (_, n) =>
  Math.log(Array.from({ length: n }, (_unused, i) => i + 1).reduce((product, factor) => product * factor, 1)),
);
