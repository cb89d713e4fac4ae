/**
 * Elementary functions on four lanes.
 *   exp x = 2^n · e^r,  n = round(x / ln 2),  |r| <= ln 2 / 2,  e^r ≈ 1 + r + r²·P(r)
 *   erf x = x · A(x²) / B(x²) for |x| < 4, ±1 beyond
 *   ln  x = e · ln 2 + 2 artanh((m - 1) / (m + 1)),  x = m · 2^e
 * Sources: exp by Cody & Waite 1980 with P from Moshier's Cephes, erf by the rational fit that Eigen uses. The
 * logarithm, needed once per row, is in scalar float64. Errors: exp and the sigmoid below 2 units in the last place,
 * erf below 2^-22 absolute. Results under 2^-126 are flushed to zero: denormal numbers would cost a hundred cycles
 * each.
 */
import { mac } from "./simd.as";

/** Constants of exp: a vector is one instruction from memory, three where code says it. */
const TABLE = memory.data<f32>(
  [
    1.44269504088896341,
    12582912.0,
    -0.693359375,
    2.1219444e-4,
    1,
    -87.336544,
    88.722835,
    Infinity,
    1.98756915e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
  ],
  16,
);
const LOG2_E: usize = 0;
/** 1.5 · 2^23: adding it rounds a small float to an integer in the low bits of the sum. */
const ROUND: usize = 4;
/** -ln 2 in two pieces; n times the first is exact. */
const LN2_HIGH: usize = 8;
const LN2_LOW: usize = 12;
const ONE: usize = 16;
/** ln 2^-126 and ln of the largest float32. */
const SMALLEST: usize = 20;
const LARGEST: usize = 24;
const INFINITE: usize = 28;
/** Coefficients of P, the highest first. */
const P: usize = 32;

// @ts-ignore: decorator
@inline function fixed(place: usize): v128 {
  return v128.load32_splat(TABLE + place);
}

/** e^x for x <= 88.72; below ln 2^-126, including -Infinity, exactly 0. */
// @ts-ignore: decorator
@inline export function expBounded(x: v128): v128 {
  const round = fixed(ROUND);
  const shifted = mac(x, fixed(LOG2_E), round);
  const n = f32x4.sub(shifted, round);
  let r = mac(n, fixed(LN2_HIGH), x);
  r = mac(n, fixed(LN2_LOW), r);
  let p = mac(r, fixed(P), fixed(P + 4));
  p = mac(p, r, fixed(P + 8));
  p = mac(p, r, fixed(P + 12));
  p = mac(p, r, fixed(P + 16));
  p = mac(p, r, fixed(P + 20));
  p = f32x4.add(mac(p, f32x4.mul(r, r), r), fixed(ONE));
  // Adds n to the exponent: the shift drops the bits of ROUND and leaves n << 23.
  const scaled = i32x4.add(p, i32x4.shl(shifted, 23));
  return v128.andnot(scaled, f32x4.lt(x, fixed(SMALLEST)));
}

// @ts-ignore: decorator
@inline export function expv(x: v128): v128 {
  return v128.bitselect(fixed(INFINITE), expBounded(x), f32x4.gt(x, fixed(LARGEST)));
}

/** 1 / (1 + e^-x) */
// @ts-ignore: decorator
@inline export function sigmoidv(x: v128): v128 {
  const one = fixed(ONE);
  return f32x4.div(one, f32x4.add(one, expv(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline export function erfv(x: v128): v128 {
  const t = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-4)), f32x4.splat(4));
  const s = f32x4.mul(t, t);
  let a = mac(s, f32x4.splat(-2.72614225801306e-10), f32x4.splat(2.77068142495902e-8));
  a = mac(a, s, f32x4.splat(-2.10102402082508e-6));
  a = mac(a, s, f32x4.splat(-5.69250639462346e-5));
  a = mac(a, s, f32x4.splat(-7.34990630326855e-4));
  a = mac(a, s, f32x4.splat(-2.95459980854025e-3));
  a = mac(a, s, f32x4.splat(-1.60960333262415e-2));
  let b = mac(s, f32x4.splat(-1.45660718464996e-5), f32x4.splat(-2.13374055278905e-4));
  b = mac(b, s, f32x4.splat(-1.68282697438203e-3));
  b = mac(b, s, f32x4.splat(-7.37332916720468e-3));
  b = mac(b, s, f32x4.splat(-1.42647390514189e-2));
  return f32x4.div(f32x4.mul(t, a), b);
}

const SQRT_HALF: f64 = 0.7071067811865475244;
const LN2: f64 = 0.69314718055994530942;

/** Of a positive, normal float64 (sums of exponentials are). */
export function ln(x: f64): f64 {
  if (!(x > 0) || x == Infinity) return x == 0 ? -Infinity : x > 0 ? x : NaN;
  const bits = reinterpret<i64>(x);
  let exponent = <i32>(bits >> 52) - 1022;
  let m = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3fe0000000000000); // [1/2, 1)
  if (m < SQRT_HALF) {
    m *= 2;
    exponent--;
  }
  const z = (m - 1) / (m + 1); // |z| < 0.172
  const s = z * z;
  let series: f64 = 1.0 / 21;
  for (let odd: f64 = 19; odd > 0; odd -= 2) series = series * s + 1 / odd;
  return <f64>exponent * LN2 + 2 * z * series;
}
