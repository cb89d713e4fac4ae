/**
 * Naive loop: roundToIntegers in src/tensor/integer-rows.ts, equal bit for bit.
 * Rows of float32 weights as int8, rounded in float64, where a product, a sum and a conversion to integers are the same
 * for vectors as one by one.
 */
import { highHalf, lanesBelow, maxLane } from "../../simd.as";

const LARGEST_HALF: f64 = 65504;
const SMALLEST_NORMAL_HALF: f64 = 0.00006103515625; // 2^-14

/**
 * Rounds `count` rows of k values at `from` to bytes at `to` [count][k], and scales at `d`, float32 [count][k / 32]. Up
 * to three bytes after the last are written too.
 */
export function roundBytes(from: usize, k: i32, count: i32, to: usize, d: usize): void {
  for (; count > 0; count--) {
    for (let left = k; left > 0; left -= 32) {
      const n = min(32, left);
      const scale = toHalf(largestOf(from, n) / 127);
      const inverse = f64x2.splat(scale == 0 ? 0 : 1 / scale);
      store<f32>(d, <f32>scale);
      for (let i = 0; i < n; i += 4) roundFour(from + (i << 2), inverse, to + i);
      from += n << 2;
      to += n;
      d += 4;
    }
  }
}

/** NaN counts as nothing. */
function largestOf(x: usize, n: i32): f64 {
  let most = f32x4.splat(0);
  for (; n > 0; n -= 4) {
    most = f32x4.pmax(most, v128.and(f32x4.abs(v128.load(x)), lanesBelow(n)));
    x += 16;
  }
  return <f64>maxLane(most);
}

/** Levels 0 to 254, less 127. NaN is converted to 0. */
// @ts-ignore: decorator
@inline function roundFour(from: usize, inverse: v128, to: usize): void {
  const v = v128.load(from);
  const levels = i64x2.shuffle(roundTwo(v, inverse), roundTwo(highHalf(v), inverse), 0, 2);
  const words = i32x4.sub(levels, i32x4.splat(127));
  const halves = i16x8.narrow_i32x4_s(words, words);
  v128.store32_lane(to, i8x16.narrow_i16x8_s(halves, halves), 0);
}

function roundTwo(v: v128, inverse: v128): v128 {
  const levels = f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(v), inverse), f64x2.splat(127));
  return i32x4.trunc_sat_f64x2_u_zero(f64x2.add(f64x2.min(levels, f64x2.splat(254)), f64x2.splat(0.5)));
}

/** The nearest finite float16 of x >= 0. */
function toHalf(x: f64): f64 {
  if (x < SMALLEST_NORMAL_HALF) return x + 268435456 - 268435456; // 2^28
  x = min(x, LARGEST_HALF);
  const shifted = x * 4398046511105; // 2^42 + 1
  return shifted - (shifted - x);
}
