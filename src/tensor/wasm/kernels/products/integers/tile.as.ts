/**
 * Tiles of four rows of x by eight columns of W, for three rows and more: two vectors of weights and one value of every
 * row at a time, eight sums in registers. All tiles of a group of k are done before the next group, so that the panel
 * streams from memory while they compute. The steps of a group are a loop: written out, they would be reordered by the
 * compilers, and need more registers than there are. The sums of floats lie in `out`.
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

/** Rows of a tile. */
export const TILE_ROWS = 4;

/** One kernel per kind of weights and way: `tiles` x 4 rows, `xRow` bytes apart, with a panel; out [tiles * 4][16]. */
export function byteDots(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(false, false, BYTES_HEAD, w, x, xRow, tiles, groups, out);
}
export function bytePairs(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(true, false, BYTES_HEAD, w, x, xRow, tiles, groups, out);
}
export function halfDots(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(false, true, HALF_HEAD, w, x, xRow, tiles, groups, out);
}
export function halfPairs(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(true, true, HALF_HEAD, w, x, xRow, tiles, groups, out);
}
export function floatDots(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(false, true, FLOAT_HEAD, w, x, xRow, tiles, groups, out);
}
export function floatPairs(w: usize, x: usize, xRow: usize, tiles: i32, groups: i32, out: usize): void {
  tile(true, true, FLOAT_HEAD, w, x, xRow, tiles, groups, out);
}

/** The sums of a group as int32. */
// @ts-ignore: decorator
@inline function sumsOf(pairs: bool, nibbles: bool, c: v128): v128 {
  return nibbles ? nibbleSums(pairs, c) : c;
}

/** c + products of the second bytes of a row with four columns. */
// @ts-ignore: decorator
@inline function secondDots(pairs: bool, nibbles: bool, q: usize, x: usize, c: v128, ones: v128, low: v128): v128 {
  for (const end = x + 32; x != end; q += 64) {
    const v = v128.load(q);
    if (nibbles) {
      c = nibbleDot(pairs, v128.load32_splat(x), v128.and(v, low), c);
      c = nibbleDot(pairs, v128.load32_splat(x, 4), highNibbles(v, low), c);
      x += 8;
    } else {
      c = dot(pairs, v, v128.load32_splat(x), c, ones);
      x += 4;
    }
  }
  return c;
}

/** 2^s times the sums of a row's first bytes, and what its second bytes add. */
// @ts-ignore: decorator
@inline function refined(
  pairs: bool,
  nibbles: bool,
  first: v128,
  q: usize,
  x: usize,
  begin: v128,
  ones: v128,
  low: v128,
): v128 {
  const second = secondDots(pairs, nibbles, q, x, begin, ones, low);
  return i32x4.add(i32x4.shl(first, nibbles ? 8 : 7), sumsOf(pairs, nibbles, second));
}

/** Adds a row's sums with eight columns to out. */
// @ts-ignore: decorator
@inline function addRow(
  nibbles: bool,
  out: usize,
  c0: v128,
  c1: v128,
  d0: v128,
  d1: v128,
  m0: v128,
  m1: v128,
  t: usize,
  words: usize,
): void {
  const f = v128.load32_splat(t);
  if (nibbles) {
    const total = v128.load32_splat(t + words);
    v128.store(out, addNibbles(v128.load(out), c0, d0, m0, f, total));
    v128.store(out, addNibbles(v128.load(out, 16), c1, d1, m1, f, total), 16);
  } else {
    v128.store(out, addBytes(v128.load(out), c0, d0, f));
    v128.store(out, addBytes(v128.load(out, 16), c1, d1, f), 16);
  }
}

// @ts-ignore: decorator
@inline function tile(
  pairs: bool,
  nibbles: bool,
  head: usize,
  w: usize,
  x: usize,
  xRow: usize,
  tiles: i32,
  groups: i32,
  out: usize,
): void {
  const ones = v128.load(constants + ONES);
  const low = v128.load(constants + NIBBLE_MASK);
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  memory.fill(out, 0, (<usize>tiles) << 8);
  let scales = x + 2 * bytes;
  for (const last = x + bytes; x != last; x += 32) {
    let tx = x;
    let t = scales;
    let to = out;
    for (let left = tiles; left > 0; left--) {
      for (let half: usize = 0; half < 64; half += 32) {
        let a0 = i32x4.splat(0);
        let a1 = a0;
        let b0 = a0;
        let b1 = a0;
        let c0 = a0;
        let c1 = a0;
        let d0 = a0;
        let d1 = a0;
        if (!nibbles) {
          const sums = w + (half >> 1);
          let z = v128.load32_splat(t + words);
          a0 = start(sums, z);
          a1 = start(sums + 8, z);
          z = v128.load32_splat(t + words + xRow);
          b0 = start(sums, z);
          b1 = start(sums + 8, z);
          z = v128.load32_splat(t + words + 2 * xRow);
          c0 = start(sums, z);
          c1 = start(sums + 8, z);
          z = v128.load32_splat(t + words + 3 * xRow);
          d0 = start(sums, z);
          d1 = start(sums + 8, z);
        }
        const q = w + head + half;
        let p = q;
        let x0 = tx;
        let x1 = x0 + xRow;
        let x2 = x1 + xRow;
        let x3 = x2 + xRow;
        let v: v128;
        let u: v128;
        let s: v128;
        for (const end = x0 + 32; x0 != end;) {
          if (nibbles) {
            v = v128.and(v128.load(p), low);
            u = v128.and(v128.load(p, 16), low);
            s = v128.load32_splat(x0);
            a0 = nibbleDot(pairs, s, v, a0);
            a1 = nibbleDot(pairs, s, u, a1);
            s = v128.load32_splat(x1);
            b0 = nibbleDot(pairs, s, v, b0);
            b1 = nibbleDot(pairs, s, u, b1);
            s = v128.load32_splat(x2);
            c0 = nibbleDot(pairs, s, v, c0);
            c1 = nibbleDot(pairs, s, u, c1);
            s = v128.load32_splat(x3);
            d0 = nibbleDot(pairs, s, v, d0);
            d1 = nibbleDot(pairs, s, u, d1);
            v = highNibbles(v128.load(p), low);
            u = highNibbles(v128.load(p, 16), low);
            s = v128.load32_splat(x0, 4);
            a0 = nibbleDot(pairs, s, v, a0);
            a1 = nibbleDot(pairs, s, u, a1);
            s = v128.load32_splat(x1, 4);
            b0 = nibbleDot(pairs, s, v, b0);
            b1 = nibbleDot(pairs, s, u, b1);
            s = v128.load32_splat(x2, 4);
            c0 = nibbleDot(pairs, s, v, c0);
            c1 = nibbleDot(pairs, s, u, c1);
            s = v128.load32_splat(x3, 4);
            d0 = nibbleDot(pairs, s, v, d0);
            d1 = nibbleDot(pairs, s, u, d1);
          } else {
            v = v128.load(p);
            u = v128.load(p, 16);
            s = v128.load32_splat(x0);
            a0 = dot(pairs, v, s, a0, ones);
            a1 = dot(pairs, u, s, a1, ones);
            s = v128.load32_splat(x1);
            b0 = dot(pairs, v, s, b0, ones);
            b1 = dot(pairs, u, s, b1, ones);
            s = v128.load32_splat(x2);
            c0 = dot(pairs, v, s, c0, ones);
            c1 = dot(pairs, u, s, c1, ones);
            s = v128.load32_splat(x3);
            d0 = dot(pairs, v, s, d0, ones);
            d1 = dot(pairs, u, s, d1, ones);
          }
          p += 64;
          x0 += nibbles ? 8 : 4;
          x1 += nibbles ? 8 : 4;
          x2 += nibbles ? 8 : 4;
          x3 += nibbles ? 8 : 4;
        }
        a0 = sumsOf(pairs, nibbles, a0);
        a1 = sumsOf(pairs, nibbles, a1);
        b0 = sumsOf(pairs, nibbles, b0);
        b1 = sumsOf(pairs, nibbles, b1);
        c0 = sumsOf(pairs, nibbles, c0);
        c1 = sumsOf(pairs, nibbles, c1);
        d0 = sumsOf(pairs, nibbles, d0);
        d1 = sumsOf(pairs, nibbles, d1);
        const wideA = load<i32>(t + 2 * words);
        const wideB = load<i32>(t + 2 * words + xRow);
        const wideC = load<i32>(t + 2 * words + 2 * xRow);
        const wideD = load<i32>(t + 2 * words + 3 * xRow);
        if ((wideA | wideB | wideC | wideD) != 0) {
          // What the rounding of a wide group left takes a second pass, with starts of its own.
          const middle = v128.load(constants + MIDDLE);
          const start0 = nibbles ? i32x4.splat(0) : start(w + (half >> 1), middle);
          const start1 = nibbles ? i32x4.splat(0) : start(w + (half >> 1) + 8, middle);
          let l = tx + bytes;
          if (wideA != 0) {
            a0 = refined(pairs, nibbles, a0, q, l, start0, ones, low);
            a1 = refined(pairs, nibbles, a1, q + 16, l, start1, ones, low);
          }
          l += xRow;
          if (wideB != 0) {
            b0 = refined(pairs, nibbles, b0, q, l, start0, ones, low);
            b1 = refined(pairs, nibbles, b1, q + 16, l, start1, ones, low);
          }
          l += xRow;
          if (wideC != 0) {
            c0 = refined(pairs, nibbles, c0, q, l, start0, ones, low);
            c1 = refined(pairs, nibbles, c1, q + 16, l, start1, ones, low);
          }
          l += xRow;
          if (wideD != 0) {
            d0 = refined(pairs, nibbles, d0, q, l, start0, ones, low);
            d1 = refined(pairs, nibbles, d1, q + 16, l, start1, ones, low);
          }
        }
        const column = half >> 4;
        const minimums = w + (head >> 1);
        const e0 = nibbles ? scalesAt(head, w, column, mask, factor) : halves(w + 32 + (half >> 1), mask, factor);
        const e1 = nibbles ? scalesAt(head, w, column + 1, mask, factor) : halves(w + 40 + (half >> 1), mask, factor);
        const m0 = nibbles ? scalesAt(head, minimums, column, mask, factor) : e0;
        const m1 = nibbles ? scalesAt(head, minimums, column + 1, mask, factor) : e1;
        addRow(nibbles, to + half, a0, a1, e0, e1, m0, m1, t, words);
        addRow(nibbles, to + half + 64, b0, b1, e0, e1, m0, m1, t + xRow, words);
        addRow(nibbles, to + half + 128, c0, c1, e0, e1, m0, m1, t + 2 * xRow, words);
        addRow(nibbles, to + half + 192, d0, d1, e0, e1, m0, m1, t + 3 * xRow, words);
      }
      tx += xRow << 2;
      t += xRow << 2;
      to += 256;
    }
    scales += 4;
    w += head + (nibbles ? 256 : 512);
  }
}
