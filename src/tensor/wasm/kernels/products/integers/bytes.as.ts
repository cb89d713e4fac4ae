/**
 * The product with int8 weights w = d·q, d float16 per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k]
 * with activations as in activations.as.ts. The inner sums are exact integers; groups are added in order, as float32,
 * with one rounding per operation. So the bits are the same in both builds, for any number of rows and of threads.
 *
 * A panel holds 16 columns, group after group: [16 x (-Σ q as int16, d as float16)][q: 8 x 16 x 4 int8], 576 bytes.
 * The sums take back the offset that makes activations unsigned.
 */
import {
  addBytes,
  BYTES_HEAD,
  clearSums,
  constants,
  dot,
  HALF_FACTOR,
  HALF_MASK,
  MIDDLE,
  ONES,
  smallHalves,
  start,
} from "./dots.as";

/**
 * One quantized row with two panels, w and z: out [16] and other [16]. Memory is read faster at two places than at
 * one, and eight sums compute while it arrives; at four places it is slower where another thread reads too. Scales d
 * lack a factor of 2^112, which t gets instead: t is below 2^16.
 */
export function byteDotsRow(w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  row(false, w, z, x, groups, out, other);
}
export function bytePairsRow(w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  row(true, w, z, x, groups, out, other);
}

// @ts-ignore: decorator
@inline function row(pairs: bool, w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  const distance = z - w;
  let t = x + 2 * bytes;
  clearSums(out);
  clearSums(other);
  for (const last = x + bytes; x != last; x += 32) {
    z = w + distance;
    let offset = v128.load32_splat(t + words);
    let a0 = start(w, offset);
    let a1 = start(w + 16, offset);
    let a2 = start(w + 32, offset);
    let a3 = start(w + 48, offset);
    let b0 = start(z, offset);
    let b1 = start(z + 16, offset);
    let b2 = start(z + 32, offset);
    let b3 = start(z + 48, offset);
    let wq = w + BYTES_HEAD;
    let zq = z + BYTES_HEAD;
    let at = x;
    for (const end = x + 32; at != end; at += 8) {
      const s = v128.load32_splat(at);
      const u = v128.load32_splat(at, 4);
      a0 = dot(pairs, v128.load(wq, 64), u, dot(pairs, v128.load(wq), s, a0, ones), ones);
      a1 = dot(pairs, v128.load(wq, 80), u, dot(pairs, v128.load(wq, 16), s, a1, ones), ones);
      a2 = dot(pairs, v128.load(wq, 96), u, dot(pairs, v128.load(wq, 32), s, a2, ones), ones);
      a3 = dot(pairs, v128.load(wq, 112), u, dot(pairs, v128.load(wq, 48), s, a3, ones), ones);
      b0 = dot(pairs, v128.load(zq, 64), u, dot(pairs, v128.load(zq), s, b0, ones), ones);
      b1 = dot(pairs, v128.load(zq, 80), u, dot(pairs, v128.load(zq, 16), s, b1, ones), ones);
      b2 = dot(pairs, v128.load(zq, 96), u, dot(pairs, v128.load(zq, 32), s, b2, ones), ones);
      b3 = dot(pairs, v128.load(zq, 112), u, dot(pairs, v128.load(zq, 48), s, b3, ones), ones);
      wq += 128;
      zq += 128;
    }
    if (load<i32>(t + 2 * words) != 0) {
      offset = v128.load(constants + MIDDLE);
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w, offset));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 16, offset));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 32, offset));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 48, offset));
      b0 = i32x4.add(i32x4.shl(b0, 7), start(z, offset));
      b1 = i32x4.add(i32x4.shl(b1, 7), start(z + 16, offset));
      b2 = i32x4.add(i32x4.shl(b2, 7), start(z + 32, offset));
      b3 = i32x4.add(i32x4.shl(b3, 7), start(z + 48, offset));
      wq = w + BYTES_HEAD;
      zq = z + BYTES_HEAD;
      at = x + bytes;
      for (const end = at + 32; at != end; at += 8) {
        const s = v128.load32_splat(at);
        const u = v128.load32_splat(at, 4);
        a0 = dot(pairs, v128.load(wq, 64), u, dot(pairs, v128.load(wq), s, a0, ones), ones);
        a1 = dot(pairs, v128.load(wq, 80), u, dot(pairs, v128.load(wq, 16), s, a1, ones), ones);
        a2 = dot(pairs, v128.load(wq, 96), u, dot(pairs, v128.load(wq, 32), s, a2, ones), ones);
        a3 = dot(pairs, v128.load(wq, 112), u, dot(pairs, v128.load(wq, 48), s, a3, ones), ones);
        b0 = dot(pairs, v128.load(zq, 64), u, dot(pairs, v128.load(zq), s, b0, ones), ones);
        b1 = dot(pairs, v128.load(zq, 80), u, dot(pairs, v128.load(zq, 16), s, b1, ones), ones);
        b2 = dot(pairs, v128.load(zq, 96), u, dot(pairs, v128.load(zq, 32), s, b2, ones), ones);
        b3 = dot(pairs, v128.load(zq, 112), u, dot(pairs, v128.load(zq, 48), s, b3, ones), ones);
        wq += 128;
        zq += 128;
      }
    }
    const f = f32x4.mul(v128.load32_splat(t), v128.load(constants + HALF_FACTOR));
    a0 = addBytes(v128.load(out), a0, smallHalves(v128.load(w), mask), f);
    a1 = addBytes(v128.load(out, 16), a1, smallHalves(v128.load(w, 16), mask), f);
    a2 = addBytes(v128.load(out, 32), a2, smallHalves(v128.load(w, 32), mask), f);
    a3 = addBytes(v128.load(out, 48), a3, smallHalves(v128.load(w, 48), mask), f);
    b0 = addBytes(v128.load(other), b0, smallHalves(v128.load(z), mask), f);
    b1 = addBytes(v128.load(other, 16), b1, smallHalves(v128.load(z, 16), mask), f);
    b2 = addBytes(v128.load(other, 32), b2, smallHalves(v128.load(z, 32), mask), f);
    b3 = addBytes(v128.load(other, 48), b3, smallHalves(v128.load(z, 48), mask), f);
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    v128.store(other, b0);
    v128.store(other, b1, 16);
    v128.store(other, b2, 32);
    v128.store(other, b3, 48);
    t += 4;
    w += BYTES_HEAD + 512;
  }
}
