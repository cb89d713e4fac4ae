/**
 * Elementary functions in additions, multiplications and divisions alone, which every engine rounds alike. Those of
 * `Math` differ in the last bit: a seed would give other text in another browser, and Node 20 and 24 had different
 * rotary tables, in float32, first at position 3,531 of the base 500,000.
 *   e^x     x = k ln 2 / 32 + r with a whole k and |r| <= ln 2 / 64
 *           e^x = 2^(k / 32) (1 + r + r²/2 + … + r⁶/720)
 *   ln x    x = 2^e m with √½ <= m <= √2
 *           ln x = e ln 2 + 2 artanh z,  z = (m - 1) / (m + 1)
 *   cos x   x = k π/2 + r with a whole k and |r| <= π/4
 *           cos x is cos r, -sin r, -cos r or sin r, by k modulo 4
 * The series are off by less than 2^-58 of the result; rounding adds two units in the last place at most, of the larger
 * term in ln x, and of 1 in cos x.
 */
const STEPS = 32;
const PER_UNIT = STEPS / Math.LN2;
/** ln 2 / 32 in two parts: the first has 24 bits, so that products with k are exact. */
const STEP = Math.fround(Math.LN2 / STEPS);
const STEP_REST = Math.LN2 / STEPS - STEP + 2.3190468138462996e-17 / STEPS; // ln 2 exceeds Math.LN2 by so much
/** Adding it rounds to a whole number. */
const WHOLE = 1.5 * 2 ** 52;
const LEAST_EXPONENT = -1022;
/** Powers of two are still normal numbers. */
const LEAST = -700;

/** 2^(j / 32), by the series of e^x. */
const fractions = new Float64Array(STEPS);
for (let j = 0; j < STEPS; j++) {
  let sum = 1;
  for (let i = 20; i > 0; i--) sum = 1 + (sum * j * Math.LN2) / (STEPS * i);
  fractions[j] = sum;
}

/** 2^e from the least normal number to 1. */
const powers = new Float64Array(1 - LEAST_EXPONENT);
for (let e = 0, power = 1; e >= LEAST_EXPONENT; e--, power /= 2) powers[e - LEAST_EXPONENT] = power;

/** Returns e^x for x <= 0; 0 below -700, which changes no sum beside a likeliest token of weight 1. */
export function exponential(x: number): number {
  if (x < LEAST) return 0;
  const k = x * PER_UNIT + WHOLE - WHOLE;
  const r = x - k * STEP - k * STEP_REST;
  const whole = k | 0;
  const scale = fractions[whole & (STEPS - 1)]! * powers[(whole >> 5) - LEAST_EXPONENT]!;
  const square = r * r;
  const last = 1 / 24 + r * (1 / 120) + square * (1 / 720);
  return scale + scale * (r + square * (1 / 2 + r * (1 / 6) + square * last));
}

/** Returns ln x of a positive, finite x. */
export function logarithm(x: number): number {
  let exponent = 0;
  let m = x;
  for (; m > Math.SQRT2; m /= 2) exponent++;
  for (; m < Math.SQRT1_2; m *= 2) exponent--;
  const z = (m - 1) / (m + 1); // at most 0.172
  let series = 0;
  for (let odd = 21; odd > 0; odd -= 2) series = series * z * z + 1 / odd;
  return exponent * Math.LN2 + 2 * z * series;
}

/** π/2 in three parts (fdlibm's): products of the first two, of 33 bits, with k are exact below 2^20. */
const QUARTER = [1.57079632673412561417, 6.0771005063039659766e-11, 2.02226624879595063154e-21] as const;

/** Returns cos (x + quarters · π/2) for 0 <= x < 2^20; sin x with 3 quarters. Above, it is less accurate. */
export function cosine(x: number, quarters = 0): number {
  const k = Math.round(x / (Math.PI / 2));
  const r = x - k * QUARTER[0] - k * QUARTER[1] - k * QUARTER[2];
  let cos = 1;
  let sin = 1; // of sin r / r
  for (let n = 18; n > 0; n -= 2) {
    cos = 1 - (cos * r * r) / (n * (n - 1));
    sin = 1 - (sin * r * r) / (n * (n + 1));
  }
  return [cos, -r * sin, -cos, r * sin][(k + quarters) % 4]!;
}
