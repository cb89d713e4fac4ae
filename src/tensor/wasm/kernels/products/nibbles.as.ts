/**
 * The product with int4 weights w = d·q + m, q = 0..15, d and m per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k] + m_ng · (t_rg · Σ_k a[r, k])
 * with activations as in activations.as.ts. As in bytes.as.ts, inner sums are exact and floats are rounded once per
 * operation, in the order of groups.
 *
 * A panel holds 16 columns, group after group: [d: 16][m: 16][q: 4 x 16 x 4 bytes]; d and m are float16 (320 bytes) or
 * float32 (384), where the scales of a file do not fit float16. Of eight successive k, a byte holds k + b in its low
 * half and k + 4 + b in its high half, b = 0..3. A nibble is the seven-bit operand of the dot.
 */
import { integerRowBytes } from "./activations.as";
import { exactNibbles } from "./exact-rows.as";
import {
  addNibbles,
  EXACT,
  FLOAT_HEAD,
  HALF_HEAD,
  highNibbles,
  nibbleDot,
  nibbleSums,
  PAIRS,
  scalesAt,
  way,
} from "./integer-dots.as";

/** Products of `rows` quantized rows with one panel: out [rows][16]. */
export function nibblePanel(head: usize, w: usize, x: usize, rows: i32, groups: i32, out: usize): void {
  const size = integerRowBytes(groups);
  if (way == EXACT) {
    for (; rows > 0; rows--) {
      exactNibbles(head, w, x, groups, out);
      x += size;
      out += 64;
    }
    return;
  }
  const mask = i8x16.splat(15);
  const pairs = way == PAIRS;
  const half = head == HALF_HEAD;
  for (; rows >= 2; rows -= 2) {
    if (half && pairs) halfPairs2(w, x, size, groups, out, mask);
    else if (half) halfDots2(w, x, size, groups, out, mask);
    else if (pairs) floatPairs2(w, x, size, groups, out, mask);
    else floatDots2(w, x, size, groups, out, mask);
    x += 2 * size;
    out += 128;
  }
  if (rows == 0) return;
  if (half && pairs) halfPairs1(w, x, groups, out, mask);
  else if (half) halfDots1(w, x, groups, out, mask);
  else if (pairs) floatPairs1(w, x, groups, out, mask);
  else floatDots1(w, x, groups, out, mask);
}

function halfDots1(w: usize, x: usize, groups: i32, out: usize, mask: v128): void {
  oneRow(false, HALF_HEAD, w, x, groups, out, mask);
}
function halfPairs1(w: usize, x: usize, groups: i32, out: usize, mask: v128): void {
  oneRow(true, HALF_HEAD, w, x, groups, out, mask);
}
function floatDots1(w: usize, x: usize, groups: i32, out: usize, mask: v128): void {
  oneRow(false, FLOAT_HEAD, w, x, groups, out, mask);
}
function floatPairs1(w: usize, x: usize, groups: i32, out: usize, mask: v128): void {
  oneRow(true, FLOAT_HEAD, w, x, groups, out, mask);
}
function halfDots2(w: usize, x: usize, xRow: usize, groups: i32, out: usize, mask: v128): void {
  twoRows(false, HALF_HEAD, w, x, xRow, groups, out, mask);
}
function halfPairs2(w: usize, x: usize, xRow: usize, groups: i32, out: usize, mask: v128): void {
  twoRows(true, HALF_HEAD, w, x, xRow, groups, out, mask);
}
function floatDots2(w: usize, x: usize, xRow: usize, groups: i32, out: usize, mask: v128): void {
  twoRows(false, FLOAT_HEAD, w, x, xRow, groups, out, mask);
}
function floatPairs2(w: usize, x: usize, xRow: usize, groups: i32, out: usize, mask: v128): void {
  twoRows(true, FLOAT_HEAD, w, x, xRow, groups, out, mask);
}

// @ts-ignore: decorator
@inline function oneRow(pairs: bool, head: usize, w: usize, x: usize, groups: i32, out: usize, mask: v128): void {
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  let t = x + 2 * bytes;
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  for (const last = x + bytes; x != last;) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let q = w + head;
    for (const end = x + 32; x != end; x += 8) {
      const s = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      let v = v128.load(q);
      a0 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a0));
      v = v128.load(q, 16);
      a1 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a1));
      v = v128.load(q, 32);
      a2 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a2));
      v = v128.load(q, 48);
      a3 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a3));
      q += 64;
    }
    let d0 = nibbleSums(pairs, a0);
    let d1 = nibbleSums(pairs, a1);
    let d2 = nibbleSums(pairs, a2);
    let d3 = nibbleSums(pairs, a3);
    if (load<i32>(t + 2 * words) != 0) {
      a0 = i32x4.splat(0);
      a1 = a0;
      a2 = a0;
      a3 = a0;
      q = w + head;
      for (let l = x + bytes - 32, end = x + bytes; l != end; l += 8) {
        const s = v128.load32_splat(l);
        const u = v128.load32_splat(l, 4);
        let v = v128.load(q);
        a0 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a0));
        v = v128.load(q, 16);
        a1 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a1));
        v = v128.load(q, 32);
        a2 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a2));
        v = v128.load(q, 48);
        a3 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), a3));
        q += 64;
      }
      d0 = i32x4.add(i32x4.shl(d0, 8), nibbleSums(pairs, a0));
      d1 = i32x4.add(i32x4.shl(d1, 8), nibbleSums(pairs, a1));
      d2 = i32x4.add(i32x4.shl(d2, 8), nibbleSums(pairs, a2));
      d3 = i32x4.add(i32x4.shl(d3, 8), nibbleSums(pairs, a3));
    }
    const f = v128.load32_splat(t);
    const total = v128.load32_splat(t + words);
    const m = w + (head >> 1);
    f0 = addNibbles(f0, d0, scalesAt(head, w, 0), scalesAt(head, m, 0), f, total);
    f1 = addNibbles(f1, d1, scalesAt(head, w, 1), scalesAt(head, m, 1), f, total);
    f2 = addNibbles(f2, d2, scalesAt(head, w, 2), scalesAt(head, m, 2), f, total);
    f3 = addNibbles(f3, d3, scalesAt(head, w, 3), scalesAt(head, m, 3), f, total);
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
@inline function twoRows(
  pairs: bool,
  head: usize,
  w: usize,
  x: usize,
  xRow: usize,
  groups: i32,
  out: usize,
  mask: v128,
): void {
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  let t = x + 2 * bytes;
  memory.fill(out, 0, 128);
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
    let z = x + xRow;
    for (const end = x + 32; x != end; x += 4) {
      const s = v128.load32_splat(x);
      const u = v128.load32_splat(z);
      let v = v128.and(v128.load(q), mask);
      a0 = nibbleDot(pairs, s, v, a0);
      b0 = nibbleDot(pairs, u, v, b0);
      v = v128.and(v128.load(q, 16), mask);
      a1 = nibbleDot(pairs, s, v, a1);
      b1 = nibbleDot(pairs, u, v, b1);
      v = v128.and(v128.load(q, 32), mask);
      a2 = nibbleDot(pairs, s, v, a2);
      b2 = nibbleDot(pairs, u, v, b2);
      v = v128.and(v128.load(q, 48), mask);
      a3 = nibbleDot(pairs, s, v, a3);
      b3 = nibbleDot(pairs, u, v, b3);
      x += 4;
      z += 4;
      const p = v128.load32_splat(x);
      const r = v128.load32_splat(z);
      v = highNibbles(v128.load(q), mask);
      a0 = nibbleDot(pairs, p, v, a0);
      b0 = nibbleDot(pairs, r, v, b0);
      v = highNibbles(v128.load(q, 16), mask);
      a1 = nibbleDot(pairs, p, v, a1);
      b1 = nibbleDot(pairs, r, v, b1);
      v = highNibbles(v128.load(q, 32), mask);
      a2 = nibbleDot(pairs, p, v, a2);
      b2 = nibbleDot(pairs, r, v, b2);
      v = highNibbles(v128.load(q, 48), mask);
      a3 = nibbleDot(pairs, p, v, a3);
      b3 = nibbleDot(pairs, r, v, b3);
      q += 64;
      z += 4;
    }
    a0 = nibbleSums(pairs, a0);
    a1 = nibbleSums(pairs, a1);
    a2 = nibbleSums(pairs, a2);
    a3 = nibbleSums(pairs, a3);
    b0 = nibbleSums(pairs, b0);
    b1 = nibbleSums(pairs, b1);
    b2 = nibbleSums(pairs, b2);
    b3 = nibbleSums(pairs, b3);
    if (load<i32>(t + 2 * words) != 0) {
      let c0 = i32x4.splat(0);
      let c1 = c0;
      let c2 = c0;
      let c3 = c0;
      q = w + head;
      for (let l = x + bytes - 32, end = l + 32; l != end; l += 8) {
        const s = v128.load32_splat(l);
        const u = v128.load32_splat(l, 4);
        let v = v128.load(q);
        c0 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c0));
        v = v128.load(q, 16);
        c1 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c1));
        v = v128.load(q, 32);
        c2 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c2));
        v = v128.load(q, 48);
        c3 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c3));
        q += 64;
      }
      a0 = i32x4.add(i32x4.shl(a0, 8), nibbleSums(pairs, c0));
      a1 = i32x4.add(i32x4.shl(a1, 8), nibbleSums(pairs, c1));
      a2 = i32x4.add(i32x4.shl(a2, 8), nibbleSums(pairs, c2));
      a3 = i32x4.add(i32x4.shl(a3, 8), nibbleSums(pairs, c3));
    }
    if (load<i32>(t + 2 * words + xRow) != 0) {
      let c0 = i32x4.splat(0);
      let c1 = c0;
      let c2 = c0;
      let c3 = c0;
      q = w + head;
      for (let l = x + bytes - 32 + xRow, end = l + 32; l != end; l += 8) {
        const s = v128.load32_splat(l);
        const u = v128.load32_splat(l, 4);
        let v = v128.load(q);
        c0 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c0));
        v = v128.load(q, 16);
        c1 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c1));
        v = v128.load(q, 32);
        c2 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c2));
        v = v128.load(q, 48);
        c3 = nibbleDot(pairs, u, highNibbles(v, mask), nibbleDot(pairs, s, v128.and(v, mask), c3));
        q += 64;
      }
      b0 = i32x4.add(i32x4.shl(b0, 8), nibbleSums(pairs, c0));
      b1 = i32x4.add(i32x4.shl(b1, 8), nibbleSums(pairs, c1));
      b2 = i32x4.add(i32x4.shl(b2, 8), nibbleSums(pairs, c2));
      b3 = i32x4.add(i32x4.shl(b3, 8), nibbleSums(pairs, c3));
    }
    const m = w + (head >> 1);
    const f = v128.load32_splat(t);
    const g = v128.load32_splat(t + xRow);
    const total = v128.load32_splat(t + words);
    const other = v128.load32_splat(t + words + xRow);
    let d = scalesAt(head, w, 0);
    let e = scalesAt(head, m, 0);
    v128.store(out, addNibbles(v128.load(out), a0, d, e, f, total));
    v128.store(out, addNibbles(v128.load(out, 64), b0, d, e, g, other), 64);
    d = scalesAt(head, w, 1);
    e = scalesAt(head, m, 1);
    v128.store(out, addNibbles(v128.load(out, 16), a1, d, e, f, total), 16);
    v128.store(out, addNibbles(v128.load(out, 80), b1, d, e, g, other), 80);
    d = scalesAt(head, w, 2);
    e = scalesAt(head, m, 2);
    v128.store(out, addNibbles(v128.load(out, 32), a2, d, e, f, total), 32);
    v128.store(out, addNibbles(v128.load(out, 96), b2, d, e, g, other), 96);
    d = scalesAt(head, w, 3);
    e = scalesAt(head, m, 3);
    v128.store(out, addNibbles(v128.load(out, 48), a3, d, e, f, total), 48);
    v128.store(out, addNibbles(v128.load(out, 112), b3, d, e, g, other), 112);
    t += 4;
    w = q;
  }
}
