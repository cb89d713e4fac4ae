/**
 * The product with int8 weights w = d·q, d float16 per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k]
 * with activations as in activations.as.ts. The inner sums are exact integers; groups are added in order, as float32,
 * with one rounding per operation. So the bits are the same in both builds, for any number of rows and of threads.
 *
 * A panel holds 16 columns, group after group: [-Σ q: 16 int16][d: 16 float16][q: 8 x 16 x 4 int8], 576 bytes. The sums
 * take back the offset that makes activations unsigned.
 */
import { addBytes, BYTES_HEAD, constants, dot, HALF_FACTOR, HALF_MASK, halves, MIDDLE, ONES, start } from "./dots.as";

/** One quantized row with one panel: out [16]. */
export function byteDotsRow(w: usize, x: usize, groups: i32, out: usize): void {
  row(false, w, x, groups, out);
}
export function bytePairsRow(w: usize, x: usize, groups: i32, out: usize): void {
  row(true, w, x, groups, out);
}

// @ts-ignore: decorator
@inline function row(pairs: bool, w: usize, x: usize, groups: i32, out: usize): void {
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const bytes = (<usize>groups) << 5;
  let t = x + 2 * bytes;
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  const words = bytes >> 3;
  for (const last = x + bytes; x != last;) {
    let z = v128.load32_splat(t + words);
    let a0 = start(w, z);
    let a1 = start(w + 8, z);
    let a2 = start(w + 16, z);
    let a3 = start(w + 24, z);
    let q = w + BYTES_HEAD;
    for (const end = x + 32; x != end; x += 4) {
      const s = v128.load32_splat(x);
      a0 = dot(pairs, v128.load(q), s, a0, ones);
      a1 = dot(pairs, v128.load(q, 16), s, a1, ones);
      a2 = dot(pairs, v128.load(q, 32), s, a2, ones);
      a3 = dot(pairs, v128.load(q, 48), s, a3, ones);
      q += 64;
    }
    if (load<i32>(t + 2 * words) != 0) {
      z = v128.load(constants + MIDDLE);
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w, z));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 8, z));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 16, z));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 24, z));
      q = w + BYTES_HEAD;
      for (let l = x + bytes - 32, end = x + bytes; l != end; l += 4) {
        const s = v128.load32_splat(l);
        a0 = dot(pairs, v128.load(q), s, a0, ones);
        a1 = dot(pairs, v128.load(q, 16), s, a1, ones);
        a2 = dot(pairs, v128.load(q, 32), s, a2, ones);
        a3 = dot(pairs, v128.load(q, 48), s, a3, ones);
        q += 64;
      }
    }
    const f = v128.load32_splat(t);
    f0 = addBytes(f0, a0, halves(w + 32, mask, factor), f);
    f1 = addBytes(f1, a1, halves(w + 40, mask, factor), f);
    f2 = addBytes(f2, a2, halves(w + 48, mask, factor), f);
    f3 = addBytes(f3, a3, halves(w + 56, mask, factor), f);
    t += 4;
    w = q;
  }
  v128.store(out, f0);
  v128.store(out, f1, 16);
  v128.store(out, f2, 32);
  v128.store(out, f3, 48);
}
