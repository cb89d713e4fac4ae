/**
 * The verifier's own P(Bin(n, p) <= k) for up to some million trials: terms are added from the largest on, over some
 * nine standard deviations; logarithms of factorials by Stirling's series.
 */

export function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  const logTerm = (i: number): number =>
    logFactorial(n) - logFactorial(i) - logFactorial(n - i) + i * Math.log(p) + (n - i) * Math.log1p(-p);
  const largest = Math.min(k, Math.floor((n + 1) * p));
  let total = 0;
  for (let i = largest, term = 1; i >= 0 && term > 1e-18; i--, term *= ((i + 1) * (1 - p)) / ((n - i) * p)) {
    total += term;
  }
  for (let i = largest + 1, term = 1; i <= k; i++) {
    term *= ((n - i + 1) * p) / (i * (1 - p));
    total += term;
    if (term < 1e-18) break;
  }
  return Math.min(1, total * Math.exp(logTerm(largest)));
}

function logFactorial(n: number): number {
  if (n < 20) {
    return Math.log(Array.from({ length: n }, (_, i) => i + 1).reduce((product, factor) => product * factor, 1));
  }
  const series = 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5);
  return n * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI * n) + series;
}
