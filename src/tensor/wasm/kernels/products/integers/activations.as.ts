/**
 * Rows of x as integers, for products with integer weights. A group of 32 values has one scale t and holds
 *   a = round(x / t),   t = max |x| / top           round: to nearest, ties to even
 * with `top` = 63 beside weights of eight bits and 127 beside weights of four. A group whose largest value exceeds
 * 1.2 times the mean of the largest values of the row's groups carries most of the row's rounding error: it is
 * rounded finer, to top · 2^s steps (s = 7 or 8), and its products take two dots:
 *   a = 2^s·h + l,   Σ q·a = 2^s·Σ q·h + Σ q·l
 * Groups below 2^-110 count as zero. The last group of a row is padded with zeros.
 *
 * A quantized row lies in memory as [h: groups x 32 bytes][l: groups x 32 bytes][t][t·Σa][wide], the last three
 * [groups] words. Beside weights of eight bits, h and l are the seven-bit operand of the dot and carry an offset of 64.
 * Where products are EXACT, they are made of int16: [a: groups x 64 bytes] takes the place of h and l.
 */
import { copyFloats } from "../../simd.as";
import { constants, EXACT, ONES, ROUND, SIZE_MASK, way } from "./dots.as";

/** How far a group's largest value may exceed the mean of its row's before the group takes two dots. */
const WIDE: f64 = 1.2;
const SMALLEST: f32 = 7.70371977754894e-34; // 2^-110

/** Elements of a group. */
export const GROUP = 32;

// @ts-ignore: decorator
@inline export function groupsOf(k: i32): i32 {
  return (k + 31) >> 5;
}

/** Bytes of one quantized row. */
// @ts-ignore: decorator
@inline export function integerRowBytes(groups: i32): usize {
  return (<usize>(groups * 76) + 15) & ~15;
}

/**
 * Quantizes x [rows, k] to rows of `integerRowBytes`. `nibbles`: for weights of four bits. `tail` has room for a group.
 */
export function quantizeRows(x: usize, rows: i32, k: i32, nibbles: bool, to: usize, tail: usize): void {
  const groups = groupsOf(k);
  const size = integerRowBytes(groups);
  const rest = k & 31;
  for (let r = 0; r < rows; r++) {
    let last = x + ((<usize>(k - rest)) << 2);
    if (rest != 0) {
      memory.fill(tail, 0, 128);
      copyFloats(tail, last, rest);
      last = tail;
    } else last -= 128;
    quantizeRow(x, last, groups, nibbles, to);
    x += (<usize>k) << 2;
    to += size;
  }
}

function quantizeRow(x: usize, last: usize, groups: i32, nibbles: bool, to: usize): void {
  const sizes = v128.load(constants + SIZE_MASK);
  const round = v128.load(constants + ROUND);
  const ones = v128.load(constants + ONES);
  const bytes = (<usize>groups) << 5;
  const scales = to + 2 * bytes;
  const words = (<usize>groups) << 2;
  let total: f64 = 0;
  for (let g = 0; g < groups; g++) {
    const largest = largestOf(g + 1 < groups ? x + ((<usize>g) << 7) : last, sizes);
    store<f32>(scales + ((<usize>g) << 2), largest);
    total += <f64>largest;
  }
  const limit = total * WIDE;
  const narrowTop: i32 = nibbles ? 127 : 63;
  const shift: i32 = nibbles ? 8 : 7;
  const offset = i8x16.splat(nibbles ? 0 : 64);
  const half = i16x8.splat(<i16>((<i32>1) << (shift - 1)));
  for (let g = 0; g < groups; g++) {
    const from = g + 1 < groups ? x + ((<usize>g) << 7) : last;
    const at = scales + ((<usize>g) << 2);
    const largest = load<f32>(at);
    const wide = <f64>largest * <f64>groups > limit;
    const top: f32 = <f32>(wide ? narrowTop << shift : narrowTop);
    store<i32>(at + 2 * words, wide ? shift : 0);
    store<f32>(at, largest < SMALLEST ? 0 : largest / top);
    store<f32>(at + words, 0);
    // All integers of a group that is too small are zero, and of one with Infinity or NaN, whose scale says the rest.
    if (!(largest >= SMALLEST && largest < Infinity)) {
      if (way == EXACT) memory.fill(to + ((<usize>g) << 6), 0, 64);
      else {
        memory.fill(to + ((<usize>g) << 5), nibbles ? 0 : 64, 32);
        memory.fill(to + ((<usize>g) << 5) + bytes, nibbles ? 0 : 64, 32);
      }
      if (!(largest < Infinity)) store<f32>(at + words, NaN);
      continue;
    }
    const factor = f32x4.splat(top / largest);
    let sum = i32x4.splat(0);
    for (let i: usize = 0; i < 32; i += 16) {
      const low = eight(from + (i << 2), factor, round);
      const high = eight(from + (i << 2) + 32, factor, round);
      sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(low, ones), i32x4.dot_i16x8_s(high, ones)));
      if (way == EXACT) {
        v128.store(to + ((<usize>g) << 6) + (i << 1), low);
        v128.store(to + ((<usize>g) << 6) + (i << 1), high, 16);
        continue;
      }
      const part = to + ((<usize>g) << 5) + i;
      if (wide) {
        const h0 = i16x8.shr_s(i16x8.add(low, half), shift);
        const h1 = i16x8.shr_s(i16x8.add(high, half), shift);
        const l = i8x16.narrow_i16x8_s(i16x8.sub(low, i16x8.shl(h0, shift)), i16x8.sub(high, i16x8.shl(h1, shift)));
        v128.store(part, i8x16.add(i8x16.narrow_i16x8_s(h0, h1), offset));
        v128.store(part + bytes, i8x16.add(l, offset));
      } else {
        v128.store(part, i8x16.add(i8x16.narrow_i16x8_s(low, high), offset));
        v128.store(part + bytes, offset);
      }
    }
    if (nibbles) store<f32>(at + words, <f32>sumLanes(sum) * load<f32>(at));
  }
}

/** The largest absolute value of 32, NaN if there is one: without their signs, floats are in the order of integers. */
// @ts-ignore: decorator
@inline function largestOf(x: usize, sizes: v128): f32 {
  let top = v128.and(v128.load(x), sizes);
  for (let i: usize = 16; i < 128; i += 16) top = i32x4.max_s(top, v128.and(v128.load(x + i), sizes));
  top = i32x4.max_s(top, i8x16.shuffle(top, top, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1));
}

/**
 * Eight values as int16. Adding 1.5 · 2^23 rounds a value to the nearest integer, ties to even, and leaves it in the
 * low bits.
 */
// @ts-ignore: decorator
@inline function eight(x: usize, factor: v128, round: v128): v128 {
  return i16x8.narrow_i32x4_s(
    i32x4.sub(f32x4.add(f32x4.mul(v128.load(x), factor), round), round),
    i32x4.sub(f32x4.add(f32x4.mul(v128.load(x, 16), factor), round), round),
  );
}

// @ts-ignore: decorator
@inline function sumLanes(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}
