/**
 * The steps that products with int8 and int4 weights share. A vector of weights holds four successive k of four
 * columns; `load32_splat` gives the same four k of x. Three ways, with the same exact sums:
 *   DOT     i32x4.relaxed_dot_i8x16_i7x16_add_s: one instruction where the processor has AVX-VNNI or ARM's dot
 *           products, five elsewhere
 *   PAIRS   i16x8.relaxed_dot_i8x16_i7x16_s, sums of two products, and an addition of neighbours
 *   EXACT   int16 times int16, for engines without relaxed SIMD
 * The second operand of the relaxed dots is 0..127, and no pair of products leaves int16: nothing is left to the
 * engine.
 */
import { EXACT } from "../../constants";
import { storeFour } from "../../simd.as";

export let way: i32 = EXACT;

/** DOT, PAIRS or EXACT; a build without relaxed SIMD has only the last. */
export function setWay(chosen: i32): void {
  way = ASC_FEATURE_RELAXED_SIMD ? chosen : EXACT;
}

/** A build that has no other way leaves out their kernels. */
// @ts-ignore: decorator
@inline export function isExact(): bool {
  return !ASC_FEATURE_RELAXED_SIMD || way == EXACT;
}

/** c + the sums of four products each; `ones` are eight. */
// @ts-ignore: decorator
@inline export function dot(pairs: bool, bytes: v128, sevens: v128, c: v128, ones: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return c; // the portable build takes the exact way
  return pairs
    ? i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(bytes, sevens), ones))
    : i32x4.relaxed_dot_i8x16_i7x16_add_s(bytes, sevens, c);
}

/** The same for nibbles: sums of pairs stay in int16 over a group, 8 · 2 · 15 · 128 at most. */
// @ts-ignore: decorator
@inline export function nibbleDot(pairs: bool, bytes: v128, nibbles: v128, c: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return c;
  return pairs
    ? i16x8.add(c, i16x8.relaxed_dot_i8x16_i7x16_s(bytes, nibbles))
    : i32x4.relaxed_dot_i8x16_i7x16_add_s(bytes, nibbles, c);
}

/** Of both halves of bytes: the low ones with s, the high ones with t. `mask` is 15 in every byte. */
// @ts-ignore: decorator
@inline export function nibbleDots(pairs: bool, s: v128, t: v128, w: v128, mask: v128, c: v128): v128 {
  return nibbleDot(pairs, t, highNibbles(w, mask), nibbleDot(pairs, s, v128.and(w, mask), c));
}

// @ts-ignore: decorator
@inline export function nibbleSums(pairs: bool, c: v128): v128 {
  return pairs ? i32x4.extadd_pairwise_i16x8_s(c) : c;
}

// @ts-ignore: decorator
@inline function multiplied(bytes: bool, a: v128): v128 {
  const zero = i32x4.splat(0);
  return bytes ? i32x4.relaxed_dot_i8x16_i7x16_add_s(a, zero, zero) : i32x4.dot_i16x8_s(a, zero);
}

// @ts-ignore: decorator
@inline function fourTimes(bytes: bool, a: v128): v128 {
  return multiplied(bytes, multiplied(bytes, multiplied(bytes, multiplied(bytes, a))));
}

/** n multiplications that wait for each other, of bytes (DOT) or int16. Their times tell if DOT is one instruction. */
export function probeDots(bytes: i32, n: i32): i32 {
  let a = i8x16.splat(1);
  if (!ASC_FEATURE_RELAXED_SIMD) return 0;
  if (bytes != 0) {
    for (; n > 0; n -= 8) a = fourTimes(true, fourTimes(true, a));
  } else {
    for (; n > 0; n -= 8) a = fourTimes(false, fourTimes(false, a));
  }
  return i32x4.extract_lane(a, 0);
}

/** c + sums of pairs of products of int16. */
// @ts-ignore: decorator
@inline export function dotPair(a: v128, b: v128, c: v128): v128 {
  return i32x4.add(c, i32x4.dot_i16x8_s(a, b));
}

/** Sums in two lanes per column become one lane: low holds columns 0 and 1, high 2 and 3. */
// @ts-ignore: decorator
@inline export function joinPairs(low: v128, high: v128): v128 {
  return i32x4.add(
    i8x16.shuffle(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
    i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31),
  );
}

/**
 * Vectors that loops need in registers, loaded once: a constant in code is made anew at each use, by three
 * instructions. Two equal halves each:
 */
export const constants = memory.data<u64>(
  [
    0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f, 0x8fffe0008fffe000, 0x8fffe0008fffe000, 0x7780000077800000,
    0x7780000077800000, 0x0001000100010001, 0x0001000100010001, 0x7fffffff7fffffff, 0x7fffffff7fffffff,
    0x4b4000004b400000, 0x4b4000004b400000,
  ],
  16,
);
/** Low halves of bytes. */
export const NIBBLE_MASK: usize = 0;
/** The bits of a float16 in a float32, and the factor that they need: 2^112. */
export const HALF_MASK: usize = 16;
export const HALF_FACTOR: usize = 32;
/** 1 as int16. */
export const ONES: usize = 48;
/** All bits of a float32 but its sign. */
export const SIZE_MASK: usize = 64;
export const ROUND: usize = 80;

/** Four finite float16, in the high halves of int32, as float32 times 2^-112, exactly (HALF_MASK). */
// @ts-ignore: decorator
@inline export function smallHalves(v: v128, mask: v128): v128 {
  return v128.and(i32x4.shr_s(v, 3), mask);
}

/** The same, exactly: times HALF_FACTOR. */
// @ts-ignore: decorator
@inline export function highHalves(v: v128, mask: v128, factor: v128): v128 {
  return f32x4.mul(smallHalves(v, mask), factor);
}

/** Bytes before the weights of a group. */
export const BYTES_HEAD: usize = 64;

export const CENTRED_HEAD: usize = 32;
export const HALF_HEAD: usize = 64;
export const FLOAT_HEAD: usize = 128;

/** sum + D · (d · t). */
// @ts-ignore: decorator
@inline export function addBytes(sum: v128, products: v128, d: v128, t: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(products), f32x4.mul(d, t)));
}

/** float16 scales of four columns, the c / 4-th to the c / 4 + 3-th of those with facts at p, in high halves. */
// @ts-ignore: decorator
@inline export function halvesAt(head: usize, p: usize, c: usize): v128 {
  const v = v128.load(p + (head == CENTRED_HEAD ? c & 16 : c));
  return head == CENTRED_HEAD && c >= 32 ? v : i32x4.shl(v, 16);
}

/** Of the same columns; `mask` and `factor` as in `highHalves`. */
// @ts-ignore: decorator
@inline export function scalesAt(head: usize, p: usize, c: usize, mask: v128, factor: v128): v128 {
  return head == FLOAT_HEAD ? v128.load(p + c) : highHalves(halvesAt(head, p, c), mask, factor);
}

// @ts-ignore: decorator
@inline export function minimumsAt(head: usize, p: usize, c: usize, mask: v128, factor: v128): v128 {
  if (head == FLOAT_HEAD) return v128.load(p + c, 64);
  if (head == HALF_HEAD) return highHalves(v128.load(p + c), mask, factor);
  return f32x4.mul(scalesAt(head, p, c, mask, factor), f32x4.splat(-8));
}

/** sum + (D · (d · t) + m · T). */
// @ts-ignore: decorator
@inline export function addNibbles(sum: v128, products: v128, d: v128, m: v128, t: v128, total: v128): v128 {
  return f32x4.add(sum, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(products), f32x4.mul(d, t)), f32x4.mul(m, total)));
}

/** The high nibbles; `mask` is 15 in every byte. */
// @ts-ignore: decorator
@inline export function highNibbles(v: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(v, 4), mask);
}

/** Sixteen float32 at a time; a call of `memory.fill` costs as much as a group. */
// @ts-ignore: decorator
@inline export function clearSums(from: usize, end: usize): void {
  const zero = f32x4.splat(0);
  for (; from != end; from += 64) storeFour(from, zero, zero, zero, zero);
}
