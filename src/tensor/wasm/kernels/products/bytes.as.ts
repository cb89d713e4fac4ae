/**
 * The product with int8 weights w = d·q, d float16 per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k]
 * with activations as in activations.as.ts. The inner sums are exact integers; groups are added in order, as float32,
 * with one rounding per operation. So the bits are the same in both builds, for any number of rows and of threads.
 *
 * A panel holds 16 columns, group after group: [-Σ q: 16 int16][d: 16 float16][q: 8 x 16 x 4 int8], 576 bytes. The sums
 * take back the offset of 64 that makes activations unsigned.
 */
import { integerRowBytes } from "./activations.as";
import { exactBytes } from "./exact-rows.as";
import { addBytes, BYTES_HEAD, dot, EXACT, loadHalves, PAIRS, way } from "./integer-dots.as";

/** Products of `rows` quantized rows with one panel: out [rows][16]. */
export function bytePanel(w: usize, x: usize, rows: i32, groups: i32, out: usize): void {
  const size = integerRowBytes(groups);
  if (way == EXACT) {
    for (; rows > 0; rows--) {
      exactBytes(w, x, groups, out);
      x += size;
      out += 64;
    }
    return;
  }
  const ones = i16x8.splat(1);
  for (; rows >= 2; rows -= 2) {
    if (way == PAIRS) pairs2x16(w, x, size, groups, out, ones);
    else dots2x16(w, x, size, groups, out, ones);
    x += 2 * size;
    out += 128;
  }
  if (rows == 1) {
    if (way == PAIRS) pairs1x16(w, x, groups, out, ones);
    else dots1x16(w, x, groups, out, ones);
  }
}

function dots1x16(w: usize, x: usize, groups: i32, out: usize, ones: v128): void {
  oneRow(false, w, x, groups, out, ones);
}
function pairs1x16(w: usize, x: usize, groups: i32, out: usize, ones: v128): void {
  oneRow(true, w, x, groups, out, ones);
}
function dots2x16(w: usize, x: usize, xRow: usize, groups: i32, out: usize, ones: v128): void {
  twoRows(false, w, x, xRow, groups, out, ones);
}
function pairs2x16(w: usize, x: usize, xRow: usize, groups: i32, out: usize, ones: v128): void {
  twoRows(true, w, x, xRow, groups, out, ones);
}

/** -64 · Σ q of four columns. */
// @ts-ignore: decorator
@inline function start(w: usize): v128 {
  return i32x4.shl(v128.load_ext<i16>(w), 6);
}

// @ts-ignore: decorator
@inline function oneRow(pairs: bool, w: usize, x: usize, groups: i32, out: usize, ones: v128): void {
  const bytes = (<usize>groups) << 5;
  let t = x + 2 * bytes;
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  for (const last = x + bytes; x != last;) {
    let a0 = start(w);
    let a1 = start(w + 8);
    let a2 = start(w + 16);
    let a3 = start(w + 24);
    let q = w + BYTES_HEAD;
    for (const end = x + 32; x != end; x += 4) {
      const s = v128.load32_splat(x);
      a0 = dot(pairs, v128.load(q), s, a0, ones);
      a1 = dot(pairs, v128.load(q, 16), s, a1, ones);
      a2 = dot(pairs, v128.load(q, 32), s, a2, ones);
      a3 = dot(pairs, v128.load(q, 48), s, a3, ones);
      q += 64;
    }
    const wide = load<i32>(t + (bytes >> 2));
    if (wide != 0) {
      a0 = i32x4.add(i32x4.shl(a0, 7), start(w));
      a1 = i32x4.add(i32x4.shl(a1, 7), start(w + 8));
      a2 = i32x4.add(i32x4.shl(a2, 7), start(w + 16));
      a3 = i32x4.add(i32x4.shl(a3, 7), start(w + 24));
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
    f0 = addBytes(f0, a0, loadHalves(w + 32), f);
    f1 = addBytes(f1, a1, loadHalves(w + 40), f);
    f2 = addBytes(f2, a2, loadHalves(w + 48), f);
    f3 = addBytes(f3, a3, loadHalves(w + 56), f);
    t += 4;
    w = q;
  }
  v128.store(out, f0);
  v128.store(out, f1, 16);
  v128.store(out, f2, 32);
  v128.store(out, f3, 48);
}

/** Two rows: the integer sums take the registers, so the sums of floats lie in `out`. */
// @ts-ignore: decorator
@inline function twoRows(pairs: bool, w: usize, x: usize, xRow: usize, groups: i32, out: usize, ones: v128): void {
  const bytes = (<usize>groups) << 5;
  let t = x + 2 * bytes;
  memory.fill(out, 0, 128);
  for (const last = x + bytes; x != last;) {
    let a0 = start(w);
    let a1 = start(w + 8);
    let a2 = start(w + 16);
    let a3 = start(w + 24);
    let b0 = a0;
    let b1 = a1;
    let b2 = a2;
    let b3 = a3;
    let q = w + BYTES_HEAD;
    let z = x + xRow;
    for (const end = x + 32; x != end; x += 4) {
      const s = v128.load32_splat(x);
      const u = v128.load32_splat(z);
      let v = v128.load(q);
      a0 = dot(pairs, v, s, a0, ones);
      b0 = dot(pairs, v, u, b0, ones);
      v = v128.load(q, 16);
      a1 = dot(pairs, v, s, a1, ones);
      b1 = dot(pairs, v, u, b1, ones);
      v = v128.load(q, 32);
      a2 = dot(pairs, v, s, a2, ones);
      b2 = dot(pairs, v, u, b2, ones);
      v = v128.load(q, 48);
      a3 = dot(pairs, v, s, a3, ones);
      b3 = dot(pairs, v, u, b3, ones);
      q += 64;
      z += 4;
    }
    const wideA = load<i32>(t + (bytes >> 2));
    const wideB = load<i32>(t + (bytes >> 2) + xRow);
    if ((wideA | wideB) != 0) {
      // A row that is not wide has l = 0: its dots take back what its start adds.
      a0 = i32x4.add(i32x4.shl(a0, wideA), start(w));
      a1 = i32x4.add(i32x4.shl(a1, wideA), start(w + 8));
      a2 = i32x4.add(i32x4.shl(a2, wideA), start(w + 16));
      a3 = i32x4.add(i32x4.shl(a3, wideA), start(w + 24));
      b0 = i32x4.add(i32x4.shl(b0, wideB), start(w));
      b1 = i32x4.add(i32x4.shl(b1, wideB), start(w + 8));
      b2 = i32x4.add(i32x4.shl(b2, wideB), start(w + 16));
      b3 = i32x4.add(i32x4.shl(b3, wideB), start(w + 24));
      q = w + BYTES_HEAD;
      let l = x + bytes - 32;
      z = l + xRow;
      for (const end = l + 32; l != end; l += 4) {
        const s = v128.load32_splat(l);
        const u = v128.load32_splat(z);
        let v = v128.load(q);
        a0 = dot(pairs, v, s, a0, ones);
        b0 = dot(pairs, v, u, b0, ones);
        v = v128.load(q, 16);
        a1 = dot(pairs, v, s, a1, ones);
        b1 = dot(pairs, v, u, b1, ones);
        v = v128.load(q, 32);
        a2 = dot(pairs, v, s, a2, ones);
        b2 = dot(pairs, v, u, b2, ones);
        v = v128.load(q, 48);
        a3 = dot(pairs, v, s, a3, ones);
        b3 = dot(pairs, v, u, b3, ones);
        q += 64;
        z += 4;
      }
    }
    const f = v128.load32_splat(t);
    const g = v128.load32_splat(t + xRow);
    let d = loadHalves(w + 32);
    v128.store(out, addBytes(v128.load(out), a0, d, f));
    v128.store(out, addBytes(v128.load(out, 64), b0, d, g), 64);
    d = loadHalves(w + 40);
    v128.store(out, addBytes(v128.load(out, 16), a1, d, f), 16);
    v128.store(out, addBytes(v128.load(out, 80), b1, d, g), 80);
    d = loadHalves(w + 48);
    v128.store(out, addBytes(v128.load(out, 32), a2, d, f), 32);
    v128.store(out, addBytes(v128.load(out, 96), b2, d, g), 96);
    d = loadHalves(w + 56);
    v128.store(out, addBytes(v128.load(out, 48), a3, d, f), 48);
    v128.store(out, addBytes(v128.load(out, 112), b3, d, g), 112);
    t += 4;
    w = q;
  }
}
