/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * The product with int8 weights w = d·q, d float16 per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k]
 * with activations as in activations.as.ts. Inner sums are exact integers; groups are added in order, as float32,
 * rounded once per operation: the same bits in both builds, for any rows and threads.
 *
 * A panel holds 16 columns, group after group: [16 x (-Σ q as int16, d as float16)][q: 8 x 16 x 4 int8], 576 bytes. The
 * sums take back the offset that makes activations unsigned.
 */
import { addBytes, BYTES_HEAD, constants, dot, HALF_MASK, ONES, smallHalves } from "./dots.as";
import { isYes, storeFour } from "../../simd.as";

/** Adds groups of a panel to its sums [16]; t holds a factor of 2^112 that scales d lack. */
// @ts-ignore: decorator
@inline export function bytePiece<Pairs>(w: usize, x: usize, bytes: usize, t: usize, groups: i32, sums: usize): void {
  const pairs = isYes<Pairs>();
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const words = bytes >> 3;
  let f0 = v128.load(sums);
  let f1 = v128.load(sums, 16);
  let f2 = v128.load(sums, 32);
  let f3 = v128.load(sums, 48);
  for (const last = x + (groups << 5); x != last; x += 32) {
    const z = v128.load32_splat(t + words);
    let a0 = start(w, z);
    let a1 = start(w + 16, z);
    let a2 = start(w + 32, z);
    let a3 = start(w + 48, z);
    let at = x;
    // a narrow group, or both parts of a wide one in turn
    for (let wide = load<i32>(t + 2 * words) != 0; ; wide = false) {
      let q = w + BYTES_HEAD;
      for (const stop = at + 32; at != stop; at += 8) {
        const s = v128.load32_splat(at);
        const u = v128.load32_splat(at, 4);
        a0 = dot(pairs, v128.load(q, 64), u, dot(pairs, v128.load(q), s, a0, ones), ones);
        a1 = dot(pairs, v128.load(q, 80), u, dot(pairs, v128.load(q, 16), s, a1, ones), ones);
        a2 = dot(pairs, v128.load(q, 96), u, dot(pairs, v128.load(q, 32), s, a2, ones), ones);
        a3 = dot(pairs, v128.load(q, 112), u, dot(pairs, v128.load(q, 48), s, a3, ones), ones);
        q += 128;
      }
      if (!wide) break;
      at = x + bytes; // z is 64 for both parts
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w, z));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 16, z));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 32, z));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 48, z));
    }
    const f = v128.load32_splat(t);
    f0 = addBytes(f0, a0, smallHalves(v128.load(w), mask), f);
    f1 = addBytes(f1, a1, smallHalves(v128.load(w, 16), mask), f);
    f2 = addBytes(f2, a2, smallHalves(v128.load(w, 32), mask), f);
    f3 = addBytes(f3, a3, smallHalves(v128.load(w, 48), mask), f);
    t += 4;
    w += BYTES_HEAD + 512;
  }
  storeFour(sums, f0, f1, f2, f3);
}

/**
 * z · (-Σ q) of four columns with facts at p, -Σ q in their low halves. z is below 2^15 in four int32, whose zeros
 * leave one product of int16 in each sum of two.
 */
// @ts-ignore: decorator
@inline function start(p: usize, z: v128): v128 {
  return i32x4.dot_i16x8_s(v128.load(p), z);
}
