/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * The product with int4 weights w = d·q + m, q = 0..15, d and m per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k] + m_ng · (t_rg · Σ_k a[r, k])
 * with activations as in activations.as.ts. As in bytes.as.ts, inner sums are exact and floats are rounded once per
 * operation, in the order of groups.
 *
 * A panel holds 16 columns, group after group: [16 x (d, m) as float16][q: 4 x 16 x 4 bytes], 320 bytes, or, where
 * the scales of a file do not fit float16, [d: 16 float32][m: 16 float32][q], 384 bytes, or, where m is always -8 d,
 * [d: 16 float16][q], 288 bytes, with columns c and c + 8 in a word. Of eight successive k, a byte holds k + b in its
 * low half and k + 4 + b in its high half, b = 0..3. A nibble is the seven-bit operand of the dot.
 */
import {
  addNibbles,
  CENTRED_HEAD,
  constants,
  FLOAT_HEAD,
  HALF_HEAD,
  HALF_MASK,
  halvesAt,
  NIBBLE_MASK,
  nibbleDots,
  nibbleSums,
  smallHalves,
} from "./dots.as";
import { isYes } from "../../simd.as";

/** Type arguments: how the scales and minimums of a group lie. */
export type Halves = u16;
export type Floats = u32;
export type Centred = u64;

/**
 * Adds groups of a panel to its sums [16]. t and t·Σa hold a factor of 2^112 that float16 d and m lack, and where m is
 * -8 d, t·Σa holds the -8.
 */
// @ts-ignore: decorator
@inline export function nibblePiece<Pairs, Form>(
  w: usize,
  x: usize,
  bytes: usize,
  t: usize,
  groups: i32,
  sums: usize,
): void {
  const pairs = isYes<Pairs>();
  const head =
    sizeof<Form>() == sizeof<Centred>() ? CENTRED_HEAD : sizeof<Form>() == sizeof<Floats>() ? FLOAT_HEAD : HALF_HEAD;
  const low = v128.load(constants + NIBBLE_MASK);
  const mask = v128.load(constants + HALF_MASK);
  const words = bytes >> 3;
  for (const last = x + (groups << 5); x != last; x += 32) {
    const wide = load<i32>(t + 2 * words) != 0;
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let q = w + head;
    let at = x;
    if (wide) {
      // both parts of x, with weights taken apart once
      let a0 = s0;
      let a1 = s0;
      let a2 = s0;
      let a3 = s0;
      for (const stop = at + 32; at != stop; at += 8) {
        const s = v128.load32_splat(at);
        const u = v128.load32_splat(at, 4);
        const y = v128.load32_splat(at + bytes);
        const z = v128.load32_splat(at + bytes, 4);
        let v = v128.load(q);
        s0 = nibbleDots(pairs, s, u, v, low, s0);
        a0 = nibbleDots(pairs, y, z, v, low, a0);
        v = v128.load(q, 16);
        s1 = nibbleDots(pairs, s, u, v, low, s1);
        a1 = nibbleDots(pairs, y, z, v, low, a1);
        v = v128.load(q, 32);
        s2 = nibbleDots(pairs, s, u, v, low, s2);
        a2 = nibbleDots(pairs, y, z, v, low, a2);
        v = v128.load(q, 48);
        s3 = nibbleDots(pairs, s, u, v, low, s3);
        a3 = nibbleDots(pairs, y, z, v, low, a3);
        q += 64;
      }
      s0 = i32x4.add(i32x4.shl(nibbleSums(pairs, s0), 8), nibbleSums(pairs, a0));
      s1 = i32x4.add(i32x4.shl(nibbleSums(pairs, s1), 8), nibbleSums(pairs, a1));
      s2 = i32x4.add(i32x4.shl(nibbleSums(pairs, s2), 8), nibbleSums(pairs, a2));
      s3 = i32x4.add(i32x4.shl(nibbleSums(pairs, s3), 8), nibbleSums(pairs, a3));
    } else {
      for (const stop = at + 32; at != stop; at += 8) {
        const s = v128.load32_splat(at);
        const u = v128.load32_splat(at, 4);
        s0 = nibbleDots(pairs, s, u, v128.load(q), low, s0);
        s1 = nibbleDots(pairs, s, u, v128.load(q, 16), low, s1);
        s2 = nibbleDots(pairs, s, u, v128.load(q, 32), low, s2);
        s3 = nibbleDots(pairs, s, u, v128.load(q, 48), low, s3);
        q += 64;
      }
      s0 = nibbleSums(pairs, s0);
      s1 = nibbleSums(pairs, s1);
      s2 = nibbleSums(pairs, s2);
      s3 = nibbleSums(pairs, s3);
    }
    const f = v128.load32_splat(t);
    const g = v128.load32_splat(t + words);
    // stored in pairs, as in tile.as.ts
    s0 = added<Form>(head, w, 0, sums, s0, mask, f, g);
    s1 = added<Form>(head, w, 16, sums, s1, mask, f, g);
    v128.store(sums, s0);
    v128.store(sums, s1, 16);
    s2 = added<Form>(head, w, 32, sums, s2, mask, f, g);
    s3 = added<Form>(head, w, 48, sums, s3, mask, f, g);
    v128.store(sums, s2, 32);
    v128.store(sums, s3, 48);
    t += 4;
    w += head + 256;
  }
}

/** Sums + a group's products of four columns. */
// @ts-ignore: decorator
@inline function added<Form>(
  head: usize,
  w: usize,
  c: usize,
  sums: usize,
  products: v128,
  mask: v128,
  f: v128,
  g: v128,
): v128 {
  const d = scales(head, w, c, mask);
  const m = sizeof<Form>() == sizeof<Centred>() ? d : minimums(head, w + c, mask);
  return addNibbles(v128.load(sums + c), products, d, m, f, g);
}

/** Scales of four columns (`halvesAt`), or scales times 2^-112. */
// @ts-ignore: decorator
@inline function scales(head: usize, p: usize, c: usize, mask: v128): v128 {
  return head == FLOAT_HEAD ? v128.load(p + c) : smallHalves(halvesAt(head, p, c), mask);
}

// @ts-ignore: decorator
@inline function minimums(head: usize, p: usize, mask: v128): v128 {
  return head == HALF_HEAD ? smallHalves(v128.load(p), mask) : v128.load(p, 64);
}
