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
import {
  addNibbles,
  constants,
  HALF_FACTOR,
  HALF_MASK,
  highNibbles,
  NIBBLE_MASK,
  nibbleDot,
  nibbleSums,
  scalesAt,
} from "./dots.as";

/**
 * One quantized row with two panels, w and z, as in bytes.as.ts: out [2][16], and room for as much again. `head`:
 * HALF_HEAD or FLOAT_HEAD.
 */
export function nibbleDotsRow(head: usize, w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  row(false, head, w, z, x, groups, out);
}
export function nibblePairsRow(head: usize, w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  row(true, head, w, z, x, groups, out);
}

// @ts-ignore: decorator
@inline function row(pairs: bool, head: usize, w: usize, z: usize, x: usize, groups: i32, out: usize): void {
  const low = v128.load(constants + NIBBLE_MASK);
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  const distance = z - w;
  let t = x + 2 * bytes;
  memory.fill(out, 0, 128);
  for (const last = x + bytes; x != last;) {
    let a0 = i32x4.splat(0);
    let a1 = i32x4.splat(0);
    let a2 = i32x4.splat(0);
    let a3 = i32x4.splat(0);
    let b0 = i32x4.splat(0);
    let b1 = i32x4.splat(0);
    let b2 = i32x4.splat(0);
    let b3 = i32x4.splat(0);
    z = w + distance;
    let wq = w + head;
    let zq = z + head;
    for (const end = x + 32; x != end; x += 8) {
      const s = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      let v: v128;
      v = v128.load(wq);
      a0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a0));
      v = v128.load(wq, 16);
      a1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a1));
      v = v128.load(wq, 32);
      a2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a2));
      v = v128.load(wq, 48);
      a3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a3));
      v = v128.load(zq);
      b0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b0));
      v = v128.load(zq, 16);
      b1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b1));
      v = v128.load(zq, 32);
      b2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b2));
      v = v128.load(zq, 48);
      b3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b3));
      wq += 64;
      zq += 64;
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
      wq = w + head;
      zq = z + head;
      let l = x + bytes - 32;
      if (pairs) {
        shiftOut(out, a0, a1, a2, a3, b0, b1, b2, b3);
        a0 = i32x4.splat(0);
        a1 = i32x4.splat(0);
        a2 = i32x4.splat(0);
        a3 = i32x4.splat(0);
        b0 = i32x4.splat(0);
        b1 = i32x4.splat(0);
        b2 = i32x4.splat(0);
        b3 = i32x4.splat(0);
      } else {
        a0 = i32x4.shl(a0, 8);
        a1 = i32x4.shl(a1, 8);
        a2 = i32x4.shl(a2, 8);
        a3 = i32x4.shl(a3, 8);
        b0 = i32x4.shl(b0, 8);
        b1 = i32x4.shl(b1, 8);
        b2 = i32x4.shl(b2, 8);
        b3 = i32x4.shl(b3, 8);
      }
      for (const end = l + 32; l != end; l += 8) {
        const s = v128.load32_splat(l);
        const u = v128.load32_splat(l, 4);
        let v: v128;
        v = v128.load(wq);
        a0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a0));
        v = v128.load(wq, 16);
        a1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a1));
        v = v128.load(wq, 32);
        a2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a2));
        v = v128.load(wq, 48);
        a3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), a3));
        v = v128.load(zq);
        b0 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b0));
        v = v128.load(zq, 16);
        b1 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b1));
        v = v128.load(zq, 32);
        b2 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b2));
        v = v128.load(zq, 48);
        b3 = nibbleDot(pairs, u, highNibbles(v, low), nibbleDot(pairs, s, v128.and(v, low), b3));
        wq += 64;
        zq += 64;
      }
      a0 = nibbleSums(pairs, a0);
      a1 = nibbleSums(pairs, a1);
      a2 = nibbleSums(pairs, a2);
      a3 = nibbleSums(pairs, a3);
      b0 = nibbleSums(pairs, b0);
      b1 = nibbleSums(pairs, b1);
      b2 = nibbleSums(pairs, b2);
      b3 = nibbleSums(pairs, b3);
      if (pairs) {
        a0 = i32x4.add(a0, v128.load(out, 128));
        a1 = i32x4.add(a1, v128.load(out, 144));
        a2 = i32x4.add(a2, v128.load(out, 160));
        a3 = i32x4.add(a3, v128.load(out, 176));
        b0 = i32x4.add(b0, v128.load(out, 192));
        b1 = i32x4.add(b1, v128.load(out, 208));
        b2 = i32x4.add(b2, v128.load(out, 224));
        b3 = i32x4.add(b3, v128.load(out, 240));
      }
    }
    const mask = v128.load(constants + HALF_MASK);
    const factor = v128.load(constants + HALF_FACTOR);
    const f = v128.load32_splat(t);
    const g = v128.load32_splat(t + words);
    a0 = addNibbles(
      v128.load(out),
      a0,
      scalesAt(head, w, 0, mask, factor),
      scalesAt(head, w + (head >> 1), 0, mask, factor),
      f,
      g,
    );
    a1 = addNibbles(
      v128.load(out, 16),
      a1,
      scalesAt(head, w, 1, mask, factor),
      scalesAt(head, w + (head >> 1), 1, mask, factor),
      f,
      g,
    );
    a2 = addNibbles(
      v128.load(out, 32),
      a2,
      scalesAt(head, w, 2, mask, factor),
      scalesAt(head, w + (head >> 1), 2, mask, factor),
      f,
      g,
    );
    a3 = addNibbles(
      v128.load(out, 48),
      a3,
      scalesAt(head, w, 3, mask, factor),
      scalesAt(head, w + (head >> 1), 3, mask, factor),
      f,
      g,
    );
    b0 = addNibbles(
      v128.load(out, 64),
      b0,
      scalesAt(head, z, 0, mask, factor),
      scalesAt(head, z + (head >> 1), 0, mask, factor),
      f,
      g,
    );
    b1 = addNibbles(
      v128.load(out, 80),
      b1,
      scalesAt(head, z, 1, mask, factor),
      scalesAt(head, z + (head >> 1), 1, mask, factor),
      f,
      g,
    );
    b2 = addNibbles(
      v128.load(out, 96),
      b2,
      scalesAt(head, z, 2, mask, factor),
      scalesAt(head, z + (head >> 1), 2, mask, factor),
      f,
      g,
    );
    b3 = addNibbles(
      v128.load(out, 112),
      b3,
      scalesAt(head, z, 3, mask, factor),
      scalesAt(head, z + (head >> 1), 3, mask, factor),
      f,
      g,
    );
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

/** 2^8 times the sums of first bytes, kept behind the sums of floats. */
// @ts-ignore: decorator
@inline function shiftOut(
  out: usize,
  a0: v128,
  a1: v128,
  a2: v128,
  a3: v128,
  b0: v128,
  b1: v128,
  b2: v128,
  b3: v128,
): void {
  v128.store(out, i32x4.shl(a0, 8), 128);
  v128.store(out, i32x4.shl(a1, 8), 144);
  v128.store(out, i32x4.shl(a2, 8), 160);
  v128.store(out, i32x4.shl(a3, 8), 176);
  v128.store(out, i32x4.shl(b0, 8), 192);
  v128.store(out, i32x4.shl(b1, 8), 208);
  v128.store(out, i32x4.shl(b2, 8), 224);
  v128.store(out, i32x4.shl(b3, 8), 240);
}
