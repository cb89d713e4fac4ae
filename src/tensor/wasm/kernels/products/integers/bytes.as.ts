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

/**
 * One quantized row with two panels, w and z: out [2][16]. Memory is read faster at two places than at one, and eight
 * sums compute while it arrives.
 */
export function byteDotsRow(w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  row(false, w, z, x, groups, out);
}
export function bytePairsRow(w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  row(true, w, z, x, groups, out);
}

// @ts-ignore: decorator
@inline function row(pairs: bool, w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  const distance = z - w;
  let t = x + 2 * bytes;
  memory.fill(out, 0, 128);
  for (const last = x + bytes; x != last;) {
    z = w + distance;
    let offset = v128.load32_splat(t + words);
    let a0 = start(w, offset);
    let a1 = start(w + 8, offset);
    let a2 = start(w + 16, offset);
    let a3 = start(w + 24, offset);
    let b0 = start(z, offset);
    let b1 = start(z + 8, offset);
    let b2 = start(z + 16, offset);
    let b3 = start(z + 24, offset);
    let wq = w + BYTES_HEAD;
    let zq = z + BYTES_HEAD;
    for (const end = x + 32; x != end; x += 4) {
      const s = v128.load32_splat(x);
      a0 = dot(pairs, v128.load(wq), s, a0, ones);
      a1 = dot(pairs, v128.load(wq, 16), s, a1, ones);
      a2 = dot(pairs, v128.load(wq, 32), s, a2, ones);
      a3 = dot(pairs, v128.load(wq, 48), s, a3, ones);
      b0 = dot(pairs, v128.load(zq), s, b0, ones);
      b1 = dot(pairs, v128.load(zq, 16), s, b1, ones);
      b2 = dot(pairs, v128.load(zq, 32), s, b2, ones);
      b3 = dot(pairs, v128.load(zq, 48), s, b3, ones);
      wq += 64;
      zq += 64;
    }
    if (load<i32>(t + 2 * words) != 0) {
      offset = v128.load(constants + MIDDLE);
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w, offset));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 8, offset));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 16, offset));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 24, offset));
      b0 = i32x4.add(i32x4.shl(b0, 7), start(z, offset));
      b1 = i32x4.add(i32x4.shl(b1, 7), start(z + 8, offset));
      b2 = i32x4.add(i32x4.shl(b2, 7), start(z + 16, offset));
      b3 = i32x4.add(i32x4.shl(b3, 7), start(z + 24, offset));
      wq = w + BYTES_HEAD;
      zq = z + BYTES_HEAD;
      let l = x + bytes - 32;
      for (const end = l + 32; l != end; l += 4) {
        const s = v128.load32_splat(l);
        a0 = dot(pairs, v128.load(wq), s, a0, ones);
        a1 = dot(pairs, v128.load(wq, 16), s, a1, ones);
        a2 = dot(pairs, v128.load(wq, 32), s, a2, ones);
        a3 = dot(pairs, v128.load(wq, 48), s, a3, ones);
        b0 = dot(pairs, v128.load(zq), s, b0, ones);
        b1 = dot(pairs, v128.load(zq, 16), s, b1, ones);
        b2 = dot(pairs, v128.load(zq, 32), s, b2, ones);
        b3 = dot(pairs, v128.load(zq, 48), s, b3, ones);
        wq += 64;
        zq += 64;
      }
    }
    const f = v128.load32_splat(t);
    a0 = addBytes(v128.load(out), a0, halves(w + 32, mask, factor), f);
    a1 = addBytes(v128.load(out, 16), a1, halves(w + 40, mask, factor), f);
    a2 = addBytes(v128.load(out, 32), a2, halves(w + 48, mask, factor), f);
    a3 = addBytes(v128.load(out, 48), a3, halves(w + 56, mask, factor), f);
    b0 = addBytes(v128.load(out, 64), b0, halves(z + 32, mask, factor), f);
    b1 = addBytes(v128.load(out, 80), b1, halves(z + 40, mask, factor), f);
    b2 = addBytes(v128.load(out, 96), b2, halves(z + 48, mask, factor), f);
    b3 = addBytes(v128.load(out, 112), b3, halves(z + 56, mask, factor), f);
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    v128.store(out, b0, 64);
    v128.store(out, b1, 80);
    v128.store(out, b2, 96);
    v128.store(out, b3, 112);
    t += 4;
    w = wq;
  }
}
