/**
 * e^x in additions and multiplications alone, which every engine rounds alike; `Math.exp` may differ, and a seed would
 * give other text in another browser. Over a vocabulary it takes half the time.
 *   x = k ln 2 / 32 + r with a whole k and |r| <= ln 2 / 64
 *   e^x = 2^(k / 32) (1 + r + r²/2 + … + r⁶/720)
 * The series is off by less than 2^-58 of the result; rounding adds two units in the last place at most.
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
