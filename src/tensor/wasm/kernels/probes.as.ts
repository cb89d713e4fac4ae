/**
 * Two loops that measure the limits of the machine, so that benchmarks can say what share of them a kernel reaches:
 * reading memory, and multiply-adds of four lanes in registers.
 */
import { scratch, tile2x16, tile4x16 } from "./products/index.as";
import { mac } from "./simd.as";

/** Reads `bytes` (a multiple of 128) at p, at two places at once: that is faster than one. */
export function probeRead(p: usize, bytes: usize): i32 {
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let q = p + (bytes >> 1);
  for (const end = q; p != end; p += 64) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
    a = v128.xor(a, v128.load(q));
    b = v128.xor(b, v128.load(q, 16));
    c = v128.xor(c, v128.load(q, 32));
    d = v128.xor(d, v128.load(q, 48));
    q += 64;
  }
  return i32x4.extract_lane(v128.xor(v128.xor(a, b), v128.xor(c, d)), 0);
}

/** 80 · n floating-point operations in ten independent chains. */
export function probeFma(n: i32): f32 {
  const s = f32x4.splat(0.5);
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
    a = mac(a, s, s);
    b = mac(b, s, s);
    c = mac(c, s, s);
    d = mac(d, s, s);
    e = mac(e, s, s);
    f = mac(f, s, s);
    g = mac(g, s, s);
    h = mac(h, s, s);
    i = mac(i, s, s);
    j = mac(j, s, s);
  }
  const sum = f32x4.add(
    f32x4.add(f32x4.add(a, b), f32x4.add(c, d)),
    f32x4.add(f32x4.add(e, f), f32x4.add(f32x4.add(g, h), f32x4.add(i, j))),
  );
  return f32x4.extract_lane(sum, 0);
}

/**
 * n products of four rows and sixteen columns in scratch memory, which is zero: as two tiles of two rows, or as one of
 * four. They are long, so that the processor cannot begin the next one while its sums wait for each other. Their times
 * tell whether two vectors are computed at once.
 */
export function probeWide(four: i32, n: i32): void {
  const x = scratch + 64;
  const y = scratch + 3072;
  for (; n > 0; n--) {
    if (WIDE_TILES && four != 0) tile4x16(scratch, 0, x, 0, 4, y, 64, 512);
    else {
      tile2x16(scratch, 0, x, 0, 4, y, 64, 512);
      tile2x16(scratch, 0, x, 0, 4, y + 128, 64, 512);
    }
  }
}
