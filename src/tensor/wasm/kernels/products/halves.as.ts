/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Tiles over bfloat16 panels: half the bytes per weight, widened to float32 on the way into the multiplication. A word
 * holds column c in its lower half and column c + 8 in its upper half: shifts of the two vectors of one k give columns
 * 0 to 7, masks the others. The sums are those of the float32 tiles over the same (rounded) weights, bit for bit. Two
 * panels lie side by side (panels.as.ts): 64 bytes from one k to the next.
 */
import { mac } from "../simd.as";
import { UPPER_HALVES } from "./panels.as";
import { copyColumns, scratch } from "./tiles.as";

// @ts-ignore: decorator
@inline function low(v: v128): v128 {
  return i32x4.shl(v, 16);
}

// @ts-ignore: decorator
@inline function high(v: v128, upper: v128): v128 {
  return v128.and(v, upper);
}

function halves1x16(w: usize, x: usize, y: usize, k: i32): void {
  const upper = v128.load(UPPER_HALVES);
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  for (const end = x + (k << 2); x != end; x += 4) {
    const s = v128.load32_splat(x);
    const v = v128.load(w);
    const u = v128.load(w, 16);
    a0 = mac(low(v), s, a0);
    a1 = mac(low(u), s, a1);
    a2 = mac(high(v, upper), s, a2);
    a3 = mac(high(u, upper), s, a3);
    w += 64;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
}

/** 1 x 32: both panels of a pair. Eight chains of additions: those of one panel would wait for each other. */
export function halves1x32(w: usize, x: usize, y: usize, k: i32): void {
  const upper = v128.load(UPPER_HALVES);
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  let b0 = v128.load(y, 64);
  let b1 = v128.load(y, 80);
  let b2 = v128.load(y, 96);
  let b3 = v128.load(y, 112);
  for (const end = x + (k << 2); x != end; x += 4) {
    const s = v128.load32_splat(x);
    let v = v128.load(w);
    let u = v128.load(w, 16);
    a0 = mac(low(v), s, a0);
    a1 = mac(low(u), s, a1);
    a2 = mac(high(v, upper), s, a2);
    a3 = mac(high(u, upper), s, a3);
    v = v128.load(w, 32);
    u = v128.load(w, 48);
    b0 = mac(low(v), s, b0);
    b1 = mac(low(u), s, b1);
    b2 = mac(high(v, upper), s, b2);
    b3 = mac(high(u, upper), s, b3);
    w += 64;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(y, b0, 64);
  v128.store(y, b1, 80);
  v128.store(y, b2, 96);
  v128.store(y, b3, 112);
}

function halves2x16(w: usize, x: usize, xRow: usize, y: usize, yRow: usize, k: i32): void {
  const upper = v128.load(UPPER_HALVES);
  const z = y + yRow;
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  let b0 = v128.load(z);
  let b1 = v128.load(z, 16);
  let b2 = v128.load(z, 32);
  let b3 = v128.load(z, 48);
  let u = x + xRow;
  for (const end = x + (k << 2); x != end; x += 4) {
    const s = v128.load32_splat(x);
    const t = v128.load32_splat(u);
    const v = v128.load(w);
    const next = v128.load(w, 16);
    let c = low(v);
    a0 = mac(c, s, a0);
    b0 = mac(c, t, b0);
    c = low(next);
    a1 = mac(c, s, a1);
    b1 = mac(c, t, b1);
    c = high(v, upper);
    a2 = mac(c, s, a2);
    b2 = mac(c, t, b2);
    c = high(next, upper);
    a3 = mac(c, s, a3);
    b3 = mac(c, t, b3);
    w += 64;
    u += 4;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(z, b0);
  v128.store(z, b1, 16);
  v128.store(z, b2, 32);
  v128.store(z, b3, 48);
}

export function halfRows(
  w: usize,
  x: usize,
  xRow: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  columns: i32,
  k: i32,
): void {
  for (; rows > 0; rows -= 2) {
    const take = min(rows, 2);
    let at = y;
    let step = yRow;
    if (columns < 16) {
      at = scratch;
      step = 64;
      for (let r = 0; r < take; r++) copyColumns(at + (r << 6), y + r * yRow, columns);
    }
    if (take == 2) halves2x16(w, x, xRow, at, step, k);
    else halves1x16(w, x, at, k);
    if (columns < 16) {
      for (let r = 0; r < take; r++) copyColumns(y + r * yRow, at + (r << 6), columns);
    }
    x += xRow << 1;
    y += yRow << 1;
  }
}
