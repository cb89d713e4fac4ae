/**
 * Naive loop: quantizeRow in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Rows of x as integers, for products with integer weights. A group of 32 values has one scale t and holds
 *   a = round(x / t)                                round: to nearest, ties to even
 * Beside weights of four bits, t = max |x| / 127. Beside weights of eight bits, a is the seven-bit operand of the dot,
 * 0..127, so a group carries an offset z that puts its smallest value (or zero) at 0, and no step is wasted on values
 * that it does not have:
 *   a + z = 0..127,   t = (max(x, 0) - min(x, 0)) / 126.5,   Σ q·a = Σ q·(a + z) - z·Σ q
 * A group whose size (max |x|, or that range) exceeds 1.1 times the mean size of the row's groups carries most of the
 * row's rounding error: it is rounded finer, to t = max |x| / (top · 2^s) with top = 63, s = 7 beside eight bits and
 * top = 127, s = 8 beside four, and its products take two dots:
 *   a = 2^s·h + l,   Σ q·a = 2^s·Σ q·h + Σ q·l
 * Groups below 2^-110 count as zero. The last group of a row is padded with zeros.
 *
 * A quantized row lies in memory as [h: groups x 32 bytes][l: groups x 32 bytes][t][t·Σa or z][wide], the last three
 * [groups] words; l of a narrow group is never read. Beside weights of eight bits, z is added to h, and 64 to l; of a
 * wide group, z = 64. Rows that are computed together lie in another order: tile.as.ts.
 * Where products are EXACT, they are made of int16: [a: groups x 64 bytes] takes the place of h and l.
 */
import { EXACT } from "../../constants";
import { copyFloats, highHalf } from "../../simd.as";
import { constants, ONES, ROUND, SIZE_MASK, way } from "./dots.as";

/** A group takes two dots from this size on, relative to the mean of its row's. */
const WIDE: f64 = 1.1;
const SMALLEST: f32 = 7.70371977754894e-34; // 2^-110

/** Adding it rounds to the nearest integer, ties to even, and leaves that in the low bits: 1.5 · 2^23. */
const ROUNDER: f32 = 12582912;

// @ts-ignore: decorator
@inline export function groupsOf(k: i32): i32 {
  return (k + 31) >> 5;
}

// @ts-ignore: decorator
@inline export function integerRowBytes(groups: i32): usize {
  return (groups * 76 + 15) & ~15;
}

/** `nibbles`: for weights of four bits. `tail` has room for a group. */
export function quantizeRow(x: usize, k: i32, nibbles: bool, to: usize, tail: usize): void {
  const groups = groupsOf(k);
  const last = lastGroup(x, k, tail);
  const bytes = groups << 5;
  const words = groups << 2;
  const shift: i32 = nibbles ? 8 : 7;
  const exact = way == EXACT;
  let at = to + 2 * bytes;
  measureGroups(x, last, groups, nibbles, at, words);
  for (let g = 0; g < groups; g++) {
    const from = g + 1 < groups ? x + (g << 7) : last;
    const wide = isWide(at);
    quantizeGroup(from, at, words, nibbles, exact, to, to + bytes, at, words);
    store<i32>(at + 2 * words, wide ? shift : 0);
    to += exact ? 64 : 32;
    at += 4;
  }
}

/** In the row, or padded with zeros in `tail`. */
export function lastGroup(x: usize, k: i32, tail: usize): usize {
  const rest = k & 31;
  const last = x + ((k - rest) << 2);
  if (rest == 0) return last - 128;
  memory.fill(tail, 0, 128);
  copyFloats(tail, last, rest);
  return tail;
}

/**
 * Quantizes a group, measured at `facts`. Writes its integers, h (or all of them) at `first` and, if wide, l at
 * `second`; t at `to`, and t·Σa or z `step` bytes later.
 */
export function quantizeGroup(
  from: usize,
  facts: usize,
  words: i32,
  nibbles: bool,
  int16: bool,
  first: usize,
  second: usize,
  to: usize,
  step: usize,
): void {
  const size = load<f32>(facts);
  const largest = load<f32>(facts + words);
  const lowest = load<f32>(facts + 2 * words);
  const wide = isWide(facts);
  // All zero if the group is too small, or holds Infinity or NaN, as its scale says.
  if (!(largest >= SMALLEST && largest < Infinity)) {
    store<f32>(to, largest < SMALLEST ? 0 : largest);
    if (nibbles) store<f32>(to + step, largest < SMALLEST ? 0 : NaN);
    else store<i32>(to + step, 64);
    if (int16) memory.fill(first, 0, 64);
    else {
      memory.fill(first, nibbles ? 0 : 64, 32);
      if (wide) memory.fill(second, nibbles ? 0 : 64, 32);
    }
    return;
  }
  const round = v128.load(constants + ROUND);
  const ones = v128.load(constants + ONES);
  const shift: i32 = nibbles ? 8 : 7;
  const whole: f32 = wide ? largest : size;
  const top: f32 = wide ? <f32>((nibbles ? 127 : 63) << shift) : nibbles ? 127 : 63.25;
  const t: f32 = whole / top;
  store<f32>(to, t);
  const factor: f32 = top / whole;
  const z = wide ? 64 : reinterpret<i32>(ROUNDER) - reinterpret<i32>(<f32>(lowest * factor) + ROUNDER);
  const starts = i8x16.splat(nibbles ? 0 : <i8>z);
  const half = i16x8.splat(<i16>((<i32>1) << (shift - 1)));
  const factors = f32x4.splat(factor);
  if (!wide && !nibbles && !int16) {
    // Most groups: no sum, and nothing to decide on the way.
    const low = i8x16.narrow_i16x8_s(eight(from, factors, round), eight(from + 32, factors, round));
    const high = i8x16.narrow_i16x8_s(eight(from + 64, factors, round), eight(from + 96, factors, round));
    v128.store(first, i8x16.add(low, starts));
    v128.store(first, i8x16.add(high, starts), 16);
    store<i32>(to + step, z);
    return;
  }
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < 32; i += 16) {
    const low = eight(from + (i << 2), factors, round);
    const high = eight(from + (i << 2) + 32, factors, round);
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(low, ones), i32x4.dot_i16x8_s(high, ones)));
    if (int16) {
      v128.store(first + (i << 1), low);
      v128.store(first + (i << 1), high, 16);
    } else if (wide) {
      const h0 = i16x8.shr_s(i16x8.add(low, half), shift);
      const h1 = i16x8.shr_s(i16x8.add(high, half), shift);
      const l = i8x16.narrow_i16x8_s(i16x8.sub(low, i16x8.shl(h0, shift)), i16x8.sub(high, i16x8.shl(h1, shift)));
      v128.store(first + i, i8x16.add(i8x16.narrow_i16x8_s(h0, h1), starts));
      v128.store(second + i, i8x16.add(l, starts));
    } else v128.store(first + i, i8x16.add(i8x16.narrow_i16x8_s(low, high), starts));
  }
  if (nibbles) store<f32>(to + step, <f32>sumLanes(sum) * t);
  else store<i32>(to + step, z);
}

/** Writes each group's size, negative if it is wide, largest absolute value and smallest value (or zero). */
export function measureGroups(x: usize, last: usize, groups: i32, nibbles: bool, to: usize, words: usize): void {
  const sizes = v128.load(constants + SIZE_MASK);
  let total: f64 = 0;
  for (let g = 0; g < groups; g++) {
    const from = g + 1 < groups ? x + (g << 7) : last;
    // The largest absolute value, NaN if there is one: without signs, floats are in the order of integers. The smallest
    // and largest value, or zero, without NaN. Four vectors a turn.
    let top = i32x4.splat(0);
    let low = f32x4.splat(0);
    let high = low;
    for (let at = from; at != from + 128; at += 64) {
      let v = v128.load(at);
      let w = v128.load(at, 16);
      top = i32x4.max_s(i32x4.max_s(top, v128.and(v, sizes)), v128.and(w, sizes));
      low = f32x4.pmin(f32x4.pmin(low, v), w);
      high = f32x4.pmax(f32x4.pmax(high, v), w);
      v = v128.load(at, 32);
      w = v128.load(at, 48);
      top = i32x4.max_s(i32x4.max_s(top, v128.and(v, sizes)), v128.and(w, sizes));
      low = f32x4.pmin(f32x4.pmin(low, v), w);
      high = f32x4.pmax(f32x4.pmax(high, v), w);
    }
    top = i32x4.max_s(top, highHalf(top));
    const largest = max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1));
    let size = largest;
    if (!nibbles) {
      // Half of the range stays finite.
      low = f32x4.pmin(low, highHalf(low));
      high = f32x4.pmax(high, highHalf(high));
      const lowest = min(f32x4.extract_lane(low, 0), f32x4.extract_lane(low, 1));
      size = <f32>(max(f32x4.extract_lane(high, 0), f32x4.extract_lane(high, 1)) * 0.5) - <f32>(lowest * 0.5);
      store<f32>(to + 2 * words, lowest);
    }
    store<f32>(to, size);
    store<f32>(to + words, largest);
    total += <f64>size;
    to += 4;
  }
  for (let at = to - words; at != to; at += 4) {
    const size = load<f32>(at);
    if (<f64>size * <f64>groups > total * WIDE) store<f32>(at, -size);
  }
}

/** Of a group, measured at `facts`. */
// @ts-ignore: decorator
@inline export function isWide(facts: usize): bool {
  return load<f32>(facts) < 0;
}

/** Eight values as int16, by adding ROUNDER. */
// @ts-ignore: decorator
@inline function eight(x: usize, factor: v128, round: v128): v128 {
  return i16x8.narrow_i32x4_s(
    i32x4.sub(f32x4.add(f32x4.mul(v128.load(x), factor), round), round),
    i32x4.sub(f32x4.add(f32x4.mul(v128.load(x, 16), factor), round), round),
  );
}

// @ts-ignore: decorator
@inline export function sumLanes(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}
