/**
 * Four rows of x by eight columns of W, the inner loop of products with many rows: two vectors of weights and one value
 * of every row at a time, eight sums in registers. The steps of a group are a loop: written out, they would be
 * reordered by the compilers, and need more registers than there are. The weights are those of spread.as.ts: groups of
 * [8][16 columns][4] bytes, with a head of starts, scales and minimums.
 */
import { addBytes, addNibbles, BYTES_HEAD, constants, dot, nibbleDot, nibbleSums, ONES } from "./dots.as";
import { SPREAD_GROUP, SPREAD_HEAD } from "./spread.as";

/** One kernel per kind of weights and way: four rows, `xRow` bytes apart, with half of a panel. */
export function byteDots(head: usize, q: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  tile(false, false, head, q, x, xRow, groups, out);
}
export function bytePairs(head: usize, q: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  tile(true, false, head, q, x, xRow, groups, out);
}
export function nibbleDots(head: usize, q: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  tile(false, true, head, q, x, xRow, groups, out);
}
export function nibblePairs(head: usize, q: usize, x: usize, xRow: usize, groups: i32, out: usize): void {
  tile(true, true, head, q, x, xRow, groups, out);
}

// @ts-ignore: decorator
@inline function multiply(pairs: bool, nibbles: bool, w: v128, x: v128, c: v128, ones: v128): v128 {
  return nibbles ? nibbleDot(pairs, x, w, c) : dot(pairs, w, x, c, ones);
}

// @ts-ignore: decorator
@inline function sums(pairs: bool, nibbles: bool, c: v128): v128 {
  return nibbles ? nibbleSums(pairs, c) : c;
}

// @ts-ignore: decorator
@inline function addGroup(nibbles: bool, sum: v128, products: v128, d: v128, m: v128, t: v128, total: v128): v128 {
  return nibbles ? addNibbles(sum, products, d, m, t, total) : addBytes(sum, products, d, t);
}

/** 2^s times the sums of the first pass and those of the second. */
// @ts-ignore: decorator
@inline function refined(pairs: bool, nibbles: bool, first: v128, second: v128): v128 {
  return i32x4.add(i32x4.shl(first, nibbles ? 8 : 7), sums(pairs, nibbles, second));
}

/** Eight columns of out [4][16] += products. */
// @ts-ignore: decorator
@inline function tile(
  pairs: bool,
  nibbles: bool,
  head: usize,
  w: usize,
  x: usize,
  xRow: usize,
  groups: i32,
  out: usize,
): void {
  const ones = v128.load(constants + ONES);
  const step = nibbles ? SPREAD_GROUP : BYTES_HEAD + SPREAD_GROUP;
  const bytes = (<usize>groups) << 5;
  const words = bytes >> 3;
  let t = x + 2 * bytes;
  for (const last = x + bytes; x != last; x += 32) {
    let a0 = nibbles ? i32x4.splat(0) : v128.load(head);
    let a1 = nibbles ? i32x4.splat(0) : v128.load(head, 16);
    let b0 = a0;
    let b1 = a1;
    let c0 = a0;
    let c1 = a1;
    let d0 = a0;
    let d1 = a1;
    let q = w;
    let x0 = x;
    let x1 = x0 + xRow;
    let x2 = x1 + xRow;
    let x3 = x2 + xRow;
    let v: v128;
    let u: v128;
    let s: v128;
    for (const end = x0 + 32; x0 != end;) {
      v = v128.load(q);
      u = v128.load(q, 16);
      s = v128.load32_splat(x0);
      a0 = multiply(pairs, nibbles, v, s, a0, ones);
      a1 = multiply(pairs, nibbles, u, s, a1, ones);
      s = v128.load32_splat(x1);
      b0 = multiply(pairs, nibbles, v, s, b0, ones);
      b1 = multiply(pairs, nibbles, u, s, b1, ones);
      s = v128.load32_splat(x2);
      c0 = multiply(pairs, nibbles, v, s, c0, ones);
      c1 = multiply(pairs, nibbles, u, s, c1, ones);
      s = v128.load32_splat(x3);
      d0 = multiply(pairs, nibbles, v, s, d0, ones);
      d1 = multiply(pairs, nibbles, u, s, d1, ones);
      q += 64;
      x0 += 4;
      x1 += 4;
      x2 += 4;
      x3 += 4;
    }
    a0 = sums(pairs, nibbles, a0);
    a1 = sums(pairs, nibbles, a1);
    b0 = sums(pairs, nibbles, b0);
    b1 = sums(pairs, nibbles, b1);
    c0 = sums(pairs, nibbles, c0);
    c1 = sums(pairs, nibbles, c1);
    d0 = sums(pairs, nibbles, d0);
    d1 = sums(pairs, nibbles, d1);
    const wideA = load<i32>(t + 2 * words);
    const wideB = load<i32>(t + 2 * words + xRow);
    const wideC = load<i32>(t + 2 * words + 2 * xRow);
    const wideD = load<i32>(t + 2 * words + 3 * xRow);
    if ((wideA | wideB | wideC | wideD) != 0) {
      // What the rounding of a wide group left takes a second pass, with the row's own starts.
      const start0 = nibbles ? i32x4.splat(0) : v128.load(head);
      const start1 = nibbles ? i32x4.splat(0) : v128.load(head, 16);
      if (wideA != 0) {
        let r0 = start0;
        let r1 = start1;
        q = w;
        for (let l = x + bytes, end = l + 32; l != end; l += 4) {
          s = v128.load32_splat(l);
          r0 = multiply(pairs, nibbles, v128.load(q), s, r0, ones);
          r1 = multiply(pairs, nibbles, v128.load(q, 16), s, r1, ones);
          q += 64;
        }
        a0 = refined(pairs, nibbles, a0, r0);
        a1 = refined(pairs, nibbles, a1, r1);
      }
      if (wideB != 0) {
        let r0 = start0;
        let r1 = start1;
        q = w;
        for (let l = x + bytes + xRow, end = l + 32; l != end; l += 4) {
          s = v128.load32_splat(l);
          r0 = multiply(pairs, nibbles, v128.load(q), s, r0, ones);
          r1 = multiply(pairs, nibbles, v128.load(q, 16), s, r1, ones);
          q += 64;
        }
        b0 = refined(pairs, nibbles, b0, r0);
        b1 = refined(pairs, nibbles, b1, r1);
      }
      if (wideC != 0) {
        let r0 = start0;
        let r1 = start1;
        q = w;
        for (let l = x + bytes + 2 * xRow, end = l + 32; l != end; l += 4) {
          s = v128.load32_splat(l);
          r0 = multiply(pairs, nibbles, v128.load(q), s, r0, ones);
          r1 = multiply(pairs, nibbles, v128.load(q, 16), s, r1, ones);
          q += 64;
        }
        c0 = refined(pairs, nibbles, c0, r0);
        c1 = refined(pairs, nibbles, c1, r1);
      }
      if (wideD != 0) {
        let r0 = start0;
        let r1 = start1;
        q = w;
        for (let l = x + bytes + 3 * xRow, end = l + 32; l != end; l += 4) {
          s = v128.load32_splat(l);
          r0 = multiply(pairs, nibbles, v128.load(q), s, r0, ones);
          r1 = multiply(pairs, nibbles, v128.load(q, 16), s, r1, ones);
          q += 64;
        }
        d0 = refined(pairs, nibbles, d0, r0);
        d1 = refined(pairs, nibbles, d1, r1);
      }
    }
    const e0 = v128.load(head, 64);
    const e1 = v128.load(head, 80);
    const m0 = nibbles ? v128.load(head, 128) : e0;
    const m1 = nibbles ? v128.load(head, 144) : e1;
    let f: v128;
    let g = e0;
    f = v128.load32_splat(t);
    if (nibbles) g = v128.load32_splat(t + words);
    v128.store(out, addGroup(nibbles, v128.load(out), a0, e0, m0, f, g));
    v128.store(out, addGroup(nibbles, v128.load(out, 16), a1, e1, m1, f, g), 16);
    f = v128.load32_splat(t + xRow);
    if (nibbles) g = v128.load32_splat(t + words + xRow);
    v128.store(out, addGroup(nibbles, v128.load(out, 64), b0, e0, m0, f, g), 64);
    v128.store(out, addGroup(nibbles, v128.load(out, 80), b1, e1, m1, f, g), 80);
    f = v128.load32_splat(t + 2 * xRow);
    if (nibbles) g = v128.load32_splat(t + words + 2 * xRow);
    v128.store(out, addGroup(nibbles, v128.load(out, 128), c0, e0, m0, f, g), 128);
    v128.store(out, addGroup(nibbles, v128.load(out, 144), c1, e1, m1, f, g), 144);
    f = v128.load32_splat(t + 3 * xRow);
    if (nibbles) g = v128.load32_splat(t + words + 3 * xRow);
    v128.store(out, addGroup(nibbles, v128.load(out, 192), d0, e0, m0, f, g), 192);
    v128.store(out, addGroup(nibbles, v128.load(out, 208), d1, e1, m1, f, g), 208);
    t += 4;
    w += step;
    head += SPREAD_HEAD;
  }
}
