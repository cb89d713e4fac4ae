/**
 * Two rows of x with one panel, for few rows: the panel is read once for both, from memory, while they compute. The
 * integer sums take the registers, so the sums of floats lie in `out`.
 */
import {
  addBytes,
  addNibbles,
  BYTES_HEAD,
  constants,
  dot,
  FLOAT_HEAD,
  HALF_FACTOR,
  HALF_HEAD,
  HALF_MASK,
  halves,
  highNibbles,
  MIDDLE,
  NIBBLE_MASK,
  nibbleDot,
  nibbleSums,
  ONES,
  scalesAt,
  start,
} from "./dots.as";

/** Two rows, `xRow` bytes apart: out [2][16]. */
export function byteDots2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  bytes2x16(false, w, x, xRow, groups, out);
}
export function bytePairs2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  bytes2x16(true, w, x, xRow, groups, out);
}
export function halfDots2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  nibbles2x16(false, HALF_HEAD, w, x, xRow, groups, out);
}
export function halfPairs2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  nibbles2x16(true, HALF_HEAD, w, x, xRow, groups, out);
}
export function floatDots2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  nibbles2x16(false, FLOAT_HEAD, w, x, xRow, groups, out);
}
export function floatPairs2(w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  nibbles2x16(true, FLOAT_HEAD, w, x, xRow, groups, out);
}

// @ts-ignore: decorator
@inline function bytes2x16(pairs: bool, w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  let t = x + 2 * bytes;
  memory.fill(out, 0, 128);
  for (const last = x + bytes; x != last;) {
    let o = v128.load32_splat(t + words);
    let a0 = start(w, o);
    let a1 = start(w + 8, o);
    let a2 = start(w + 16, o);
    let a3 = start(w + 24, o);
    o = v128.load32_splat(t + words + xRow);
    let b0 = start(w, o);
    let b1 = start(w + 8, o);
    let b2 = start(w + 16, o);
    let b3 = start(w + 24, o);
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
    const wideA = load<i32>(t + 2 * words);
    const wideB = load<i32>(t + 2 * words + xRow);
    if ((wideA | wideB) != 0) {
      o = v128.load(constants + MIDDLE);
      // A row that is not wide has l = 0: its dots take back what its start adds.
      a0 = i32x4.add(i32x4.shl(a0, wideA), start(w, o));
      a1 = i32x4.add(i32x4.shl(a1, wideA), start(w + 8, o));
      a2 = i32x4.add(i32x4.shl(a2, wideA), start(w + 16, o));
      a3 = i32x4.add(i32x4.shl(a3, wideA), start(w + 24, o));
      b0 = i32x4.add(i32x4.shl(b0, wideB), start(w, o));
      b1 = i32x4.add(i32x4.shl(b1, wideB), start(w + 8, o));
      b2 = i32x4.add(i32x4.shl(b2, wideB), start(w + 16, o));
      b3 = i32x4.add(i32x4.shl(b3, wideB), start(w + 24, o));
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
    let d = halves(w + 32, mask, factor);
    v128.store(out, addBytes(v128.load(out), a0, d, f));
    v128.store(out, addBytes(v128.load(out, 64), b0, d, g), 64);
    d = halves(w + 40, mask, factor);
    v128.store(out, addBytes(v128.load(out, 16), a1, d, f), 16);
    v128.store(out, addBytes(v128.load(out, 80), b1, d, g), 80);
    d = halves(w + 48, mask, factor);
    v128.store(out, addBytes(v128.load(out, 32), a2, d, f), 32);
    v128.store(out, addBytes(v128.load(out, 96), b2, d, g), 96);
    d = halves(w + 56, mask, factor);
    v128.store(out, addBytes(v128.load(out, 48), a3, d, f), 48);
    v128.store(out, addBytes(v128.load(out, 112), b3, d, g), 112);
    t += 4;
    w = q;
  }
}

// @ts-ignore: decorator
@inline function nibbles2x16(pairs: bool, head: usize, w: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  const low = v128.load(constants + NIBBLE_MASK);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
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
      let v = v128.and(v128.load(q), low);
      a0 = nibbleDot(pairs, s, v, a0);
      b0 = nibbleDot(pairs, u, v, b0);
      v = v128.and(v128.load(q, 16), low);
      a1 = nibbleDot(pairs, s, v, a1);
      b1 = nibbleDot(pairs, u, v, b1);
      v = v128.and(v128.load(q, 32), low);
      a2 = nibbleDot(pairs, s, v, a2);
      b2 = nibbleDot(pairs, u, v, b2);
      v = v128.and(v128.load(q, 48), low);
      a3 = nibbleDot(pairs, s, v, a3);
      b3 = nibbleDot(pairs, u, v, b3);
      x += 4;
      z += 4;
      const p = v128.load32_splat(x);
      const r = v128.load32_splat(z);
      v = highNibbles(v128.load(q), low);
      a0 = nibbleDot(pairs, p, v, a0);
      b0 = nibbleDot(pairs, r, v, b0);
      v = highNibbles(v128.load(q, 16), low);
      a1 = nibbleDot(pairs, p, v, a1);
      b1 = nibbleDot(pairs, r, v, b1);
      v = highNibbles(v128.load(q, 32), low);
      a2 = nibbleDot(pairs, p, v, a2);
      b2 = nibbleDot(pairs, r, v, b2);
      v = highNibbles(v128.load(q, 48), low);
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
        c0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c0));
        v = v128.load(q, 16);
        c1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c1));
        v = v128.load(q, 32);
        c2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c2));
        v = v128.load(q, 48);
        c3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c3));
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
        c0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c0));
        v = v128.load(q, 16);
        c1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c1));
        v = v128.load(q, 32);
        c2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c2));
        v = v128.load(q, 48);
        c3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), c3));
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
    let d = scalesAt(head, w, 0, mask, factor);
    let e = scalesAt(head, m, 0, mask, factor);
    v128.store(out, addNibbles(v128.load(out), a0, d, e, f, total));
    v128.store(out, addNibbles(v128.load(out, 64), b0, d, e, g, other), 64);
    d = scalesAt(head, w, 1, mask, factor);
    e = scalesAt(head, m, 1, mask, factor);
    v128.store(out, addNibbles(v128.load(out, 16), a1, d, e, f, total), 16);
    v128.store(out, addNibbles(v128.load(out, 80), b1, d, e, g, other), 80);
    d = scalesAt(head, w, 2, mask, factor);
    e = scalesAt(head, m, 2, mask, factor);
    v128.store(out, addNibbles(v128.load(out, 32), a2, d, e, f, total), 32);
    v128.store(out, addNibbles(v128.load(out, 96), b2, d, e, g, other), 96);
    d = scalesAt(head, w, 3, mask, factor);
    e = scalesAt(head, m, 3, mask, factor);
    v128.store(out, addNibbles(v128.load(out, 48), a3, d, e, f, total), 48);
    v128.store(out, addNibbles(v128.load(out, 112), b3, d, e, g, other), 112);
    t += 4;
    w = q;
  }
}
