/**
 * The verifier's own P(Bin(n, p) <= k), in bounded time for any n. Short sums are added term by term. Where a sum would
 * be long, the binomial's identity with the beta distribution makes it an integral:
 *   P(Bin(n, p) <= k) = P(X >= p),  X with the density t^k (1-t)^(n-k-1) up to a factor
 * The density is close to a normal one there, so 32 Gauss-Legendre nodes give the tail. With a = k, b = n - k - 1 and
 * N = a + b, in standard deviations from the mode and relative to the peak, the whole is by Stirling's series
 *   sqrt(2 π) N / (N + 1) e^(r(a) + r(b) - r(N)),  r(x) = 1 / 12x - 1 / 360x³
 */

/** A sum has at most k + 1 terms, and at most some nine standard deviations of them; beyond these it is integrated. */
const LONG = { variance: 10_000, k: 1000 } as const;

/** P(Bin(n, p) <= k) for p in (0, 1). */
export function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  return n * p * (1 - p) > LONG.variance && k > LONG.k ? integrated(k, n, p) : added(k, n, p);
}

/** Term by term from the largest down; logarithms of factorials by Stirling's series. */
function added(k: number, n: number, p: number): number {
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

/** Standard deviations beyond which a density counts as 0: it is below 1e-24 of the peak. */
const REACH = 12;

function integrated(k: number, n: number, p: number): number {
  const [a, b] = [k, n - k - 1];
  const mode = a / (a + b);
  const deviation = Math.sqrt((mode * (1 - mode)) / (a + b));
  /** The density at mode + s standard deviations, over that of the peak. */
  const density = (s: number): number => {
    const step = s * deviation;
    if (step >= 1 - mode || step <= -mode) return 0;
    return Math.exp(a * Math.log1p(step / mode) + b * Math.log1p(-step / (1 - mode)));
  };
  const from = (p - mode) / deviation;
  if (from >= REACH) return 0;
  if (from <= -REACH) return 1;
  const whole = Math.sqrt(2 * Math.PI) * ((a + b) / (a + b + 1)) * Math.exp(rest(a) + rest(b) - rest(a + b));
  // The shorter side, in which a rounding error is small.
  const [low, high] = from > 0 ? [from, REACH] : [-REACH, from];
  const half = (high - low) / 2;
  let part = 0;
  for (const { x, weight } of NODES) part += weight * half * density(low + half * (1 + x));
  return Math.min(1, from > 0 ? part / whole : 1 - part / whole);
}

/** The nodes and weights of Gauss-Legendre quadrature on [-1, 1]: Newton's method on the roots of the polynomial. */
const NODES = Array.from({ length: 32 }, (_, i) => {
  const n = 32;
  let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
  let slope = 1;
  for (let step = 0; step < 10; step++) {
    let [before, value] = [1, x];
    for (let j = 2; j <= n; j++) [before, value] = [value, ((2 * j - 1) * x * value - (j - 1) * before) / j];
    slope = (n * (x * value - before)) / (x * x - 1);
    x -= value / slope;
  }
  return { x, weight: 2 / ((1 - x * x) * slope * slope) };
});

function logFactorial(n: number): number {
  if (n < 20) {
    return Math.log(Array.from({ length: n }, (_, i) => i + 1).reduce((product, factor) => product * factor, 1));
  }
  return n * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI * n) + rest(n) + 1 / (1260 * n ** 5);
}

/** The first terms of Stirling's series. */
function rest(x: number): number {
  return 1 / (12 * x) - 1 / (360 * x ** 3);
}
