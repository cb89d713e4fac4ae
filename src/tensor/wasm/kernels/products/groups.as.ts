/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Rows of x in groups of five, for products with many rows. A group lies as [K][5], at one address; a tile of five rows
 * by eight columns takes half a panel at a time:
 *   10 sums + 2 weights + 1 activation = 13 of V8's fifteen registers, 10 multiply-adds for 7 loads
 * Two rows by sixteen columns make 8 for 6, and leave the loop, at some hundred cycles, twice as often. A rest of rows
 * goes in groups of four, two or one. The order of additions is that of tiles.as.ts.
 */
import { transpose4 } from "./panels.as";
import { isYes, mac, No, Yes } from "../simd.as";
import { copyColumns, scratch, tile1x16, tile2x16 } from "./tiles.as";

/** Rows of the next group: never a single one if that can be avoided. */
// @ts-ignore: decorator
@inline export function groupOf(rows: i32): i32 {
  if (rows >= 5 && rows != 6 && rows != 8) return 5;
  return rows >= 4 ? 4 : min(rows, 2);
}

/**
 * Packs `rows` rows of x, kn inner indices each, by groups. x has given distances between rows and between inner
 * indices; one of them is 4.
 */
export function packGroups(x: usize, xRow: usize, xStep: usize, rows: i32, kn: i32, to: usize): void {
  while (rows > 0) {
    const g = groupOf(rows);
    packGroup(x, xRow, xStep, g, kn, to);
    x += g * xRow;
    to += (g * kn) << 2;
    rows -= g;
  }
}

function packGroup(x: usize, xRow: usize, xStep: usize, g: i32, kn: i32, to: usize): void {
  const step = g << 2;
  const last = x + 4 * xRow;
  let from: usize = 0;
  let k = kn;
  if (g >= 4 && xRow == 4) {
    for (; k > 0; k--) {
      v128.store(to, v128.load(x + from));
      if (g == 5) store<f32>(to, load<f32>(last + from), 16);
      from += xStep;
      to += step;
    }
  } else if (g >= 4 && xStep == 4) {
    for (; k >= 4; k -= 4) {
      const at = x + from;
      transpose4(v128.load(at), v128.load(at + xRow), v128.load(at + 2 * xRow), v128.load(at + 3 * xRow), to, step);
      if (g == 5) {
        store<f32>(to, load<f32>(last + from), 16);
        store<f32>(to, load<f32>(last + from, 4), 36);
        store<f32>(to, load<f32>(last + from, 8), 56);
        store<f32>(to, load<f32>(last + from, 12), 76);
      }
      from += 16;
      to += step << 2;
    }
  }
  for (; k > 0; k--) {
    for (let r = 0; r < g; r++) store<f32>(to + (r << 2), load<f32>(x + from + r * xRow));
    from += xStep;
    to += step;
  }
}

/** y [rows, columns <= 16] += packed rows times k rows of a panel. */
export function tileGroups(panel: usize, x: usize, y: usize, yRow: usize, rows: i32, columns: i32, k: i32): void {
  while (rows > 0) {
    const g = groupOf(rows);
    if (columns == 16) tileGroup(panel, x, y, yRow, g, k);
    else {
      for (let r = 0; r < g; r++) copyColumns(scratch + (r << 6), y + r * yRow, columns);
      tileGroup(panel, x, scratch, 64, g, k);
      for (let r = 0; r < g; r++) copyColumns(y + r * yRow, scratch + (r << 6), columns);
    }
    x += (g * k) << 2;
    y += g * yRow;
    rows -= g;
  }
}

// @ts-ignore: decorator
@inline function tileGroup(panel: usize, x: usize, y: usize, yRow: usize, g: i32, k: i32): void {
  if (g == 5) {
    tileBy8<Yes>(panel, x, y, yRow, k);
    tileBy8<Yes>(panel + 32, x, y + 32, yRow, k);
  } else if (g == 4) {
    tileBy8<No>(panel, x, y, yRow, k);
    tileBy8<No>(panel + 32, x, y + 32, yRow, k);
  } else if (g == 2) tile2x16(panel, 64, x, 4, 8, y, yRow, k);
  else tile1x16(panel, 64, x, 4, y, k);
}

function tileBy8<Five>(w: usize, x: usize, y: usize, yRow: usize, k: i32): void {
  const five = isYes<Five>();
  const step: usize = five ? 20 : 16;
  const y1 = y + yRow;
  const y2 = y1 + yRow;
  const y3 = y2 + yRow;
  const y4 = five ? y3 + yRow : y3;
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let b0 = v128.load(y1);
  let b1 = v128.load(y1, 16);
  let c0 = v128.load(y2);
  let c1 = v128.load(y2, 16);
  let d0 = v128.load(y3);
  let d1 = v128.load(y3, 16);
  let e0 = five ? v128.load(y4) : d0;
  let e1 = five ? v128.load(y4, 16) : d1;
  for (const end = x + k * step; x != end; x += step) {
    const v = v128.load(w);
    const u = v128.load(w, 16);
    let s = v128.load32_splat(x);
    a0 = mac(v, s, a0);
    a1 = mac(u, s, a1);
    s = v128.load32_splat(x, 4);
    b0 = mac(v, s, b0);
    b1 = mac(u, s, b1);
    s = v128.load32_splat(x, 8);
    c0 = mac(v, s, c0);
    c1 = mac(u, s, c1);
    s = v128.load32_splat(x, 12);
    d0 = mac(v, s, d0);
    d1 = mac(u, s, d1);
    if (five) {
      s = v128.load32_splat(x, 16);
      e0 = mac(v, s, e0);
      e1 = mac(u, s, e1);
    }
    w += 64;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y1, b0);
  v128.store(y1, b1, 16);
  v128.store(y2, c0);
  v128.store(y2, c1, 16);
  v128.store(y3, d0);
  v128.store(y3, d1, 16);
  if (five) {
    v128.store(y4, e0);
    v128.store(y4, e1, 16);
  }
}
