/**
 * Loops that measure the limits of the machine, so that benchmarks can say what share of them a kernel reaches: reading
 * memory, multiply-adds of four lanes, and products of integers. As in a tile, operands are loaded from memory that
 * stays in the first-level cache: of loops without loads, V8 of Node 24 makes code that is four times as slow.
 * limits.ts compiles this file; it is no part of the library's kernels.
 */
import { DOT, EXACT, PAIRS } from "../../src/tensor/wasm/kernels/constants";
import { constants, dot, dotPair, ONES } from "../../src/tensor/wasm/kernels/products/integers/dots.as";
import { mac } from "../../src/tensor/wasm/kernels/simd.as";

/** Reads `bytes` (a multiple of 8192) at p, at four places by turns of 2 KiB: the fastest way of many. */
export function read(p: usize, bytes: usize): i32 {
  let a = i32x4.splat(0);
  let b = a;
  const part = bytes >> 2;
  const last = p + bytes;
  for (const end = p + part; p != end; p += 2048) {
    for (let place = p; place < last; place += part) {
      for (let q = place; q != place + 2048; q += 64) {
        a = v128.xor(v128.xor(a, v128.load(q)), v128.load(q, 16));
        b = v128.xor(v128.xor(b, v128.load(q, 32)), v128.load(q, 48));
      }
    }
  }
  return i32x4.extract_lane(v128.xor(a, b), 0);
}

/** 80 · n floating-point operations in ten independent chains; 112 bytes at `scratch` are read, here and below. */
export function multiplyAdd(scratch: usize, n: i32): f32 {
  let a = f32x4.splat(1);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  let i = a;
  let j = a;
  for (; n > 0; n--) {
    const s = v128.load(scratch);
    const v = v128.load(scratch, 16);
    a = mac(v, s, a);
    b = mac(v, s, b);
    c = mac(v, s, c);
    d = mac(v, s, d);
    e = mac(v, s, e);
    f = mac(v, s, f);
    g = mac(v, s, g);
    h = mac(v, s, h);
    i = mac(v, s, i);
    j = mac(v, s, j);
  }
  const sum = f32x4.add(
    f32x4.add(f32x4.add(a, b), f32x4.add(c, d)),
    f32x4.add(f32x4.add(e, f), f32x4.add(f32x4.add(g, h), f32x4.add(i, j))),
  );
  return f32x4.extract_lane(sum, 0);
}

/**
 * Products of integers and their sums: n times five vectors of weights with two of activations. A pair of vectors has
 * sixteen products of bytes, or eight of int16 (EXACT). A function for each way: of three such loops in one function,
 * V8 of Node 24 does not keep the sums in registers.
 */
export function dotProducts(scratch: usize, n: i32): i32 {
  return chains(DOT, scratch, n);
}
export function pairProducts(scratch: usize, n: i32): i32 {
  return chains(PAIRS, scratch, n);
}
export function exactProducts(scratch: usize, n: i32): i32 {
  return chains(EXACT, scratch, n);
}

// @ts-ignore: decorator
@inline function next(kind: i32, w: v128, s: v128, sum: v128, ones: v128): v128 {
  return kind == EXACT ? dotPair(w, s, sum) : dot(kind == PAIRS, w, s, sum, ones);
}

// @ts-ignore: decorator
@inline function chains(kind: i32, scratch: usize, n: i32): i32 {
  const ones = v128.load(constants + ONES);
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  let i = a;
  let j = a;
  for (; n > 0; n--) {
    const s = v128.load(scratch);
    const u = v128.load(scratch, 16);
    let w = v128.load(scratch, 32);
    a = next(kind, w, s, a, ones);
    b = next(kind, w, u, b, ones);
    w = v128.load(scratch, 48);
    c = next(kind, w, s, c, ones);
    d = next(kind, w, u, d, ones);
    w = v128.load(scratch, 64);
    e = next(kind, w, s, e, ones);
    f = next(kind, w, u, f, ones);
    w = v128.load(scratch, 80);
    g = next(kind, w, s, g, ones);
    h = next(kind, w, u, h, ones);
    w = v128.load(scratch, 96);
    i = next(kind, w, s, i, ones);
    j = next(kind, w, u, j, ones);
  }
  const low = i32x4.add(i32x4.add(i32x4.add(a, b), i32x4.add(c, d)), i32x4.add(e, f));
  const high = i32x4.add(i32x4.add(g, h), i32x4.add(i, j));
  return i32x4.extract_lane(i32x4.add(low, high), 0);
}
