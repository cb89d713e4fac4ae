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
import { addBytes, BYTES_HEAD, constants, dot, HALF_FACTOR, HALF_MASK, MIDDLE, ONES, smallHalves } from "./dots.as";
import { isYes, storeFour } from "../../simd.as";

/** Groups of a panel after which the row goes on at the other: four kilobytes (of 3 to 18 measured from memory). */
const TURN = 7;

/**
 * One quantized row with two panels, w and z, in turns: out [16] and other [16]; if z is w, with one. Memory is faster
 * at two places than at one; at four it is slower where another thread reads too. Scales d lack a factor of 2^112,
 * which t gets instead: t is below 2^16.
 */
export function byteRow<Pairs>(w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  const pairs = isYes<Pairs>();
  const bytes = groups << 5;
  clearSums(out);
  clearSums(other);
  for (let g = 0; g < groups; g += TURN) {
    const some = min(TURN, groups - g);
    const from = x + (g << 5);
    const t = x + 2 * bytes + (g << 2);
    piece(pairs, w, from, bytes, t, some, out);
    if (z != w) piece(pairs, z, from, bytes, t, some, other);
    w += TURN * (BYTES_HEAD + 512);
    z += TURN * (BYTES_HEAD + 512);
  }
}

// @ts-ignore: decorator
@inline function piece(pairs: bool, w: usize, x: usize, bytes: usize, t: usize, groups: i32, out: usize): void {
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const words = bytes >> 3;
  let f0 = v128.load(out);
  let f1 = v128.load(out, 16);
  let f2 = v128.load(out, 32);
  let f3 = v128.load(out, 48);
  for (const last = x + (groups << 5); x != last; x += 32) {
    let offset = v128.load32_splat(t + words);
    let a0 = start(w, offset);
    let a1 = start(w + 16, offset);
    let a2 = start(w + 32, offset);
    let a3 = start(w + 48, offset);
    let wq = w + BYTES_HEAD;
    let at = x;
    for (const end = x + 32; at != end; at += 8) {
      const s = v128.load32_splat(at);
      const u = v128.load32_splat(at, 4);
      a0 = dot(pairs, v128.load(wq, 64), u, dot(pairs, v128.load(wq), s, a0, ones), ones);
      a1 = dot(pairs, v128.load(wq, 80), u, dot(pairs, v128.load(wq, 16), s, a1, ones), ones);
      a2 = dot(pairs, v128.load(wq, 96), u, dot(pairs, v128.load(wq, 32), s, a2, ones), ones);
      a3 = dot(pairs, v128.load(wq, 112), u, dot(pairs, v128.load(wq, 48), s, a3, ones), ones);
      wq += 128;
    }
    if (load<i32>(t + 2 * words) != 0) {
      offset = v128.load(constants + MIDDLE);
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w, offset));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 16, offset));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 32, offset));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 48, offset));
      wq = w + BYTES_HEAD;
      at = x + bytes;
      for (const end = at + 32; at != end; at += 8) {
        const s = v128.load32_splat(at);
        const u = v128.load32_splat(at, 4);
        a0 = dot(pairs, v128.load(wq, 64), u, dot(pairs, v128.load(wq), s, a0, ones), ones);
        a1 = dot(pairs, v128.load(wq, 80), u, dot(pairs, v128.load(wq, 16), s, a1, ones), ones);
        a2 = dot(pairs, v128.load(wq, 96), u, dot(pairs, v128.load(wq, 32), s, a2, ones), ones);
        a3 = dot(pairs, v128.load(wq, 112), u, dot(pairs, v128.load(wq, 48), s, a3, ones), ones);
        wq += 128;
      }
    }
    const f = f32x4.mul(v128.load32_splat(t), v128.load(constants + HALF_FACTOR));
    f0 = addBytes(f0, a0, smallHalves(v128.load(w), mask), f);
    f1 = addBytes(f1, a1, smallHalves(v128.load(w, 16), mask), f);
    f2 = addBytes(f2, a2, smallHalves(v128.load(w, 32), mask), f);
    f3 = addBytes(f3, a3, smallHalves(v128.load(w, 48), mask), f);
    t += 4;
    w += BYTES_HEAD + 512;
  }
  storeFour(out, f0, f1, f2, f3);
}

/**
 * z · (-Σ q) of four columns with facts at p, -Σ q in their low halves. z is below 2^15 in four int32, whose zeros
 * leave one product of int16 in each sum of two.
 */
// @ts-ignore: decorator
@inline function start(p: usize, z: v128): v128 {
  return i32x4.dot_i16x8_s(v128.load(p), z);
}

// @ts-ignore: decorator
@inline function clearSums(to: usize): void {
  const zero = f32x4.splat(0);
  storeFour(to, zero, zero, zero, zero);
}
