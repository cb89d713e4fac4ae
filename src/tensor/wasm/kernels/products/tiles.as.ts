/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Register tiles: the innermost loops of every product. A tile computes
 *   Y[r, c] += Σ_k X[r, k] · W[k, c]          a few rows r, up to 16 columns c
 * with the sums in registers. W is given by an address and the distance from one k to the next (`wStep`): 64 bytes in a
 * packed panel [K][16], a row of a matrix elsewhere. X is given by the distances between rows (`xRow`) and between k
 * (`xStep`).
 *
 * Panels of bfloat16 have half the bytes per weight, widened to float32 on the way into the multiplication. A word
 * holds column c in its lower half and column c + 8 in its upper half: shifts of the two vectors of one k give columns
 * 0 to 7, masks the others. Two panels lie side by side (panels.as.ts): 64 bytes from one k to the next.
 *
 * A lane owns a column and adds over k in order, starting from what is in Y. That is why one row, two rows or a
 * thousand rows give the same bits, and why the inner size may be cut into blocks: a block continues where the last one
 * stopped.
 *
 * Two multiply-adds per cycle of four cycles' latency need eight sums to keep busy. V8 loads all that a turn of the
 * loop needs before it computes, and has fifteen vector registers: sums, weights and splats together must fit them, or
 * it spills, at half the speed. Hence two rows by sixteen columns (8 + 4 + 2), not two k in one turn; and one row by 32
 * (8 + 8 + 1) in two steps, with a branch between them.
 */
import { UPPER_HALVES } from "./panels.as";
import { mac, storeFour } from "../simd.as";

// @ts-ignore: decorator
@inline function low(v: v128): v128 {
  return i32x4.shl(v, 16);
}

// @ts-ignore: decorator
@inline function high(v: v128, upper: v128): v128 {
  return v128.and(v, upper);
}

// @ts-ignore: decorator
@inline export function oneRow(halves: bool, w: usize, wStep: usize, x: usize, xStep: usize, y: usize, k: i32): void {
  const upper = halves ? v128.load(UPPER_HALVES) : i32x4.splat(0);
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  for (const end = x + k * xStep; x != end; x += xStep) {
    const s = v128.load32_splat(x);
    const v = v128.load(w);
    const u = v128.load(w, 16);
    a0 = mac(halves ? low(v) : v, s, a0);
    a1 = mac(halves ? low(u) : u, s, a1);
    a2 = mac(halves ? high(v, upper) : v128.load(w, 32), s, a2);
    a3 = mac(halves ? high(u, upper) : v128.load(w, 48), s, a3);
    w += wStep;
  }
  storeFour(y, a0, a1, a2, a3);
}

/** 1 x 16. Reads W once: memory bandwidth limits. */
export function tile1x16(w: usize, wStep: usize, x: usize, xStep: usize, y: usize, k: i32): void {
  oneRow(false, w, wStep, x, xStep, y, k);
}

function halves1x16(w: usize, wStep: usize, x: usize, y: usize, k: i32): void {
  oneRow(true, w, wStep, x, 4, y, k);
}

// @ts-ignore: decorator
@inline export function twoRows(
  halves: bool,
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  k: i32,
): void {
  const upper = halves ? v128.load(UPPER_HALVES) : i32x4.splat(0);
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
  for (const end = x + k * xStep; x != end; x += xStep) {
    const s = v128.load32_splat(x);
    const t = v128.load32_splat(u);
    const v = v128.load(w);
    const next = v128.load(w, 16);
    let c = halves ? low(v) : v;
    a0 = mac(c, s, a0);
    b0 = mac(c, t, b0);
    c = halves ? low(next) : next;
    a1 = mac(c, s, a1);
    b1 = mac(c, t, b1);
    c = halves ? high(v, upper) : v128.load(w, 32);
    a2 = mac(c, s, a2);
    b2 = mac(c, t, b2);
    c = halves ? high(next, upper) : v128.load(w, 48);
    a3 = mac(c, s, a3);
    b3 = mac(c, t, b3);
    w += wStep;
    u += xStep;
  }
  storeFour(y, a0, a1, a2, a3);
  storeFour(z, b0, b1, b2, b3);
}

export function tile2x16(
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  k: i32,
): void {
  twoRows(false, w, wStep, x, xRow, xStep, y, yRow, k);
}

export function halves2x16(w: usize, wStep: usize, x: usize, xRow: usize, y: usize, yRow: usize, k: i32): void {
  twoRows(true, w, wStep, x, xRow, 4, y, yRow, k);
}

/** 1 x 32: both panels of a pair. Eight chains of additions: those of one panel would wait for each other. */
// @ts-ignore: decorator
@inline export function halves1x32(w: usize, x: usize, y: usize, k: i32): void {
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
  storeFour(y, a0, a1, a2, a3);
  storeFour(y + 64, b0, b1, b2, b3);
}

/** 1 x 32: two panels, w and `next`. Eight chains of additions: those of one panel would wait for each other. */
export function tile1x32(w: usize, next: usize, x: usize, y: usize, k: i32): void {
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
    a0 = mac(v128.load(w), s, a0);
    a1 = mac(v128.load(w, 16), s, a1);
    a2 = mac(v128.load(w, 32), s, a2);
    a3 = mac(v128.load(w, 48), s, a3);
    w += 64;
    if (w == 0) break; // never; it keeps V8 from loading both panels' weights before it computes
    b0 = mac(v128.load(next), s, b0);
    b1 = mac(v128.load(next, 16), s, b1);
    b2 = mac(v128.load(next, 32), s, b2);
    b3 = mac(v128.load(next, 48), s, b3);
    next += 64;
  }
  storeFour(y, a0, a1, a2, a3);
  storeFour(y + 64, b0, b1, b2, b3);
}

/** One per thread: an edge tile of up to five rows by sixteen columns. */
export let scratch: usize = 0;

/** Gives this instance SCRATCH_BYTES; called once, before anything else. */
export function setScratch(address: usize): void {
  scratch = address;
}

/** One row, or two, of floats or halves; of halves `xStep` is 4. */
// @ts-ignore: decorator
@inline export function single(halves: bool, w: usize, wStep: usize, x: usize, xStep: usize, y: usize, k: i32): void {
  if (halves) halves1x16(w, wStep, x, y, k);
  else tile1x16(w, wStep, x, xStep, y, k);
}

// @ts-ignore: decorator
@inline export function pairRows(
  halves: bool,
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  k: i32,
): void {
  if (halves) halves2x16(w, wStep, x, xRow, y, yRow, k);
  else tile2x16(w, wStep, x, xRow, xStep, y, yRow, k);
}

/**
 * Any rows by `columns` <= 16, in pairs of rows. A narrow tile, of float32, goes through scratch, sixteen columns wide.
 */
export function tileRows(
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  columns: i32,
  k: i32,
  halves: bool = false,
): void {
  if (columns < 16) {
    narrowRows(w, wStep, x, xRow, xStep, y, yRow, rows, columns, k);
    return;
  }
  for (; rows >= 2; rows -= 2) {
    pairRows(halves, w, wStep, x, xRow, xStep, y, yRow, k);
    x += xRow << 1;
    y += yRow << 1;
  }
  if (rows == 1) single(halves, w, wStep, x, xStep, y, k);
}

function narrowRows(
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  columns: i32,
  k: i32,
): void {
  const tile = scratch;
  while (rows > 0) {
    const take = min(rows, 2);
    for (let r = 0; r < take; r++) copyColumns(tile + (r << 6), y + r * yRow, columns);
    if (take == 2) tile2x16(w, wStep, x, xRow, xStep, tile, 64, k);
    else tile1x16(w, wStep, x, xStep, tile, k);
    for (let r = 0; r < take; r++) copyColumns(y + r * yRow, tile + (r << 6), columns);
    x += xRow << 1;
    y += yRow << 1;
    rows -= 2;
  }
}

export function copyColumns(to: usize, from: usize, n: i32): void {
  for (const end = from + (n << 2); from != end; from += 4) {
    store<f32>(to, load<f32>(from));
    to += 4;
  }
}
