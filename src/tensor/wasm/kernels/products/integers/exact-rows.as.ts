/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products of one row with a panel of integer weights, by int16 times int16: for engines without relaxed SIMD, and to
 * check the dots of bytes.as.ts and nibbles.as.ts. Eight sums, two lanes per column.
 */
import { storeFour } from "../../simd.as";
import {
  addBytes,
  addNibbles,
  BYTES_HEAD,
  constants,
  dotPair,
  HALF_FACTOR,
  HALF_MASK,
  highHalves,
  joinPairs,
  minimumsAt,
  NIBBLE_MASK,
  scalesAt,
} from "./dots.as";

/** Of int8 weights. */
export function exactBytes(w: usize, x: usize, groups: i32, out: usize): void {
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const bytes = groups << 6;
  let t = x + bytes;
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  for (const last = x + bytes; x != last;) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    let q = w + BYTES_HEAD;
    for (const end = x + 64; x != end; x += 8) {
      const s = v128.load64_splat(x);
      a0 = dotPair(v128.load_ext<i8>(q), s, a0);
      b0 = dotPair(v128.load_ext<i8>(q, 8), s, b0);
      a1 = dotPair(v128.load_ext<i8>(q, 16), s, a1);
      b1 = dotPair(v128.load_ext<i8>(q, 24), s, b1);
      a2 = dotPair(v128.load_ext<i8>(q, 32), s, a2);
      b2 = dotPair(v128.load_ext<i8>(q, 40), s, b2);
      a3 = dotPair(v128.load_ext<i8>(q, 48), s, a3);
      b3 = dotPair(v128.load_ext<i8>(q, 56), s, b3);
      q += 64;
    }
    const f = v128.load32_splat(t);
    f0 = addBytes(f0, joinPairs(a0, b0), highHalves(v128.load(w), mask, factor), f);
    f1 = addBytes(f1, joinPairs(a1, b1), highHalves(v128.load(w, 16), mask, factor), f);
    f2 = addBytes(f2, joinPairs(a2, b2), highHalves(v128.load(w, 32), mask, factor), f);
    f3 = addBytes(f3, joinPairs(a3, b3), highHalves(v128.load(w, 48), mask, factor), f);
    t += 4;
    w = q;
  }
  storeFour(out, f0, f1, f2, f3);
}

/** Of int4 weights; `head`: bytes before those of a group. */
export function exactNibbles(head: usize, w: usize, x: usize, groups: i32, out: usize): void {
  const bytes: usize = groups << 6;
  const words = bytes >> 4;
  const low = v128.load(constants + NIBBLE_MASK);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  let t = x + bytes;
  memory.fill(out, 0, 64);
  for (const last = x + bytes; x != last;) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    let q = w + head;
    let shift = 0; // of the low halves of 64 bytes, then of the high ones
    for (const end = x + 64; x != end; x += 8) {
      const s = v128.load64_splat(x);
      let v = v128.and(i16x8.shr_u(v128.load(q), shift), low);
      a0 = dotPair(i16x8.extend_low_i8x16_s(v), s, a0);
      b0 = dotPair(i16x8.extend_high_i8x16_s(v), s, b0);
      v = v128.and(i16x8.shr_u(v128.load(q, 16), shift), low);
      a1 = dotPair(i16x8.extend_low_i8x16_s(v), s, a1);
      b1 = dotPair(i16x8.extend_high_i8x16_s(v), s, b1);
      v = v128.and(i16x8.shr_u(v128.load(q, 32), shift), low);
      a2 = dotPair(i16x8.extend_low_i8x16_s(v), s, a2);
      b2 = dotPair(i16x8.extend_high_i8x16_s(v), s, b2);
      v = v128.and(i16x8.shr_u(v128.load(q, 48), shift), low);
      a3 = dotPair(i16x8.extend_low_i8x16_s(v), s, a3);
      b3 = dotPair(i16x8.extend_high_i8x16_s(v), s, b3);
      q += shift << 4;
      shift ^= 4;
    }
    const f = v128.load32_splat(t);
    const total = v128.load32_splat(t + words);
    const d0 = joinPairs(a0, b0);
    v128.store(out, withGroup(head, w, 0, v128.load(out), d0, f, total, mask, factor));
    const d1 = joinPairs(a1, b1);
    v128.store(out, withGroup(head, w, 16, v128.load(out, 16), d1, f, total, mask, factor), 16);
    const d2 = joinPairs(a2, b2);
    v128.store(out, withGroup(head, w, 32, v128.load(out, 32), d2, f, total, mask, factor), 32);
    const d3 = joinPairs(a3, b3);
    v128.store(out, withGroup(head, w, 48, v128.load(out, 48), d3, f, total, mask, factor), 48);
    t += 4;
    w = q;
  }
}

/** Adds a group's sums d of four columns, from the c / 4-th on of those with facts at p. */
// @ts-ignore: decorator
@inline function withGroup(
  head: usize,
  p: usize,
  c: usize,
  sum: v128,
  d: v128,
  t: v128,
  total: v128,
  mask: v128,
  factor: v128,
): v128 {
  return addNibbles(sum, d, scalesAt(head, p, c, mask, factor), minimumsAt(head, p, c, mask, factor), t, total);
}
