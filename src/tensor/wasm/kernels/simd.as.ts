/**
 * The vocabulary of every kernel: 128-bit vectors of four float32 lanes, and the handling of the ragged end of a row.
 *
 * Kernels are AssemblyScript: TypeScript syntax, compiled ahead of time to WebAssembly. An address is a byte offset
 * (`usize`) into the one linear memory that all tensors share. Two modules are built from the same source: `portable`
 * multiplies and adds with two roundings, `relaxed` fuses them (FMA, one rounding). Within one module a lane always
 * performs the same operations in the same order, so results do not depend on how many rows are computed together, nor
 * on whether an element sits in a full vector or in a tail.
 *
 * Tails: every tensor has 64 readable bytes after its end. A tail is loaded as a whole vector whose foreign lanes are
 * then replaced, computed like any other vector, and stored lane by lane.
 */

/** a·b + c per lane: fused in the relaxed build, rounded twice in the portable one. */
// @ts-ignore: decorator
@inline export function mac(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

// @ts-ignore: decorator
@inline export function lanesBelow(n: i32): v128 {
  return i32x4.gt_s(i32x4.splat(n), i32x4(0, 1, 2, 3));
}

/** The first n (1..3) floats at p; the other lanes hold `fill`. */
// @ts-ignore: decorator
@inline export function loadTail(p: usize, n: i32, fill: v128): v128 {
  return v128.bitselect(v128.load(p), fill, lanesBelow(n));
}

/** Stores lanes below n (1..3) only. */
// @ts-ignore: decorator
@inline export function storeTail(p: usize, v: v128, n: i32): void {
  if (n == 1) {
    v128.store32_lane(p, v, 0);
  } else {
    v128.store64_lane(p, v, 0);
    if (n == 3) v128.store32_lane(p, v, 2, 8);
  }
}

/** Four vectors side by side. */
// @ts-ignore: decorator
@inline export function storeFour(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
}

/** Four rows of four become four columns, stored `step` bytes apart. */
// @ts-ignore: decorator
@inline export function transpose4(a: v128, b: v128, c: v128, d: v128, to: usize, step: usize): void {
  const ab = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23); // a0 b0 a1 b1
  const cd = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ef = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31); // a2 b2 a3 b3
  const gh = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(to, i8x16.shuffle(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(to + step, i8x16.shuffle(ab, cd, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
  v128.store(to + 2 * step, i8x16.shuffle(ef, gh, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(to + 3 * step, i8x16.shuffle(ef, gh, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
}

/** Sixteen int8 times their scales, as float32. */
// @ts-ignore: decorator
@inline export function widen(q: v128, s0: v128, s1: v128, s2: v128, s3: v128, to: usize): void {
  const low = i16x8.extend_low_i8x16_s(q);
  const high = i16x8.extend_high_i8x16_s(q);
  storeFour(
    to,
    f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), s0),
    f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), s1),
    f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), s2),
    f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), s3),
  );
}

/** Lanes 2 and 3 moved to 0 and 1, so that `promote_low` reaches them. */
// @ts-ignore: decorator
@inline export function highHalf(v: v128): v128 {
  return i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** Adds the lanes of v to two float64 sums, the running sums of all row kernels. */
// @ts-ignore: decorator
@inline export function addWide(sums: v128, v: v128): v128 {
  return f64x2.add(sums, f64x2.add(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(highHalf(v))));
}

// @ts-ignore: decorator
@inline export function sumWide(sums: v128): f64 {
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
}

// @ts-ignore: decorator
@inline export function maxLane(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** Copies n floats. The ranges do not overlap. */
export function copyFloats(to: usize, from: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  }
  if (n > 0) storeTail(to, v128.load(from), n);
}

export function zeroFloats(to: usize, n: i32): void {
  memory.fill(to, 0, n << 2);
}

/** Type arguments that fix a kernel's choice: the compiler makes a function of its own for each combination. */
export type Yes = u16;
export type No = u8;

// @ts-ignore: decorator
@inline export function isYes<Choice>(): bool {
  return sizeof<Choice>() == sizeof<Yes>();
}
