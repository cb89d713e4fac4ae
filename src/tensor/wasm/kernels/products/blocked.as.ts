/**
 * Naive loop: matmul in src/tensor/reference/products.ts, which sums in float64.
 * The blocked product, for many rows (Goto & van de Geijn 2008). A block of x, 128 rows by up to 768 inner indices, is
 * packed in groups of rows and stays in the second-level cache while every panel passes by. Blocks are long because
 * every tile loads and stores its sums once per block, and leaving its loop is expensive.
 *
 * A group of five rows lies as [K][5], at one address; a tile of five rows by eight columns takes half a panel at a
 * time:
 *   10 sums + 2 weights + 1 activation = 13 of V8's fifteen registers, 10 multiply-adds for 7 loads
 * Two rows by sixteen columns make 8 for 6, and leave the loop, at some hundred cycles, twice as often. A rest of rows
 * goes in groups of four, two or one. The order of additions is that of tiles.as.ts.
 *
 * Panels of float32 are used in place. Those of bfloat16 are widened just before use, a fortieth of the time of 128
 * rows. Other operands are costly to bring into panels: a group is packed once for all blocks of rows, in shorter
 * blocks, so that it stays in the cache.
 */
import { PANELS_BF16, PANELS_F32 } from "../constants";
import { packBlock } from "./panels.as";
import { isYes, mac, No, transpose4, Yes } from "../simd.as";
import { copyColumns, scratch, tile1x16, tile2x16 } from "./tiles.as";

/** Rows of the next group: never a single one if that can be avoided. */
// @ts-ignore: decorator
@inline function groupOf(rows: i32): i32 {
  if (rows >= 5 && rows != 6 && rows != 8) return 5;
  return rows >= 4 ? 4 : min(rows, 2);
}

/**
 * Packs `rows` rows of x, kn inner indices each, by groups. x has given distances between rows and between inner
 * indices; one of them is 4.
 */
function packGroups(x: usize, xRow: usize, xStep: usize, rows: i32, kn: i32, to: usize): void {
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
function tileGroups(panel: usize, x: usize, y: usize, yRow: usize, rows: i32, columns: i32, k: i32): void {
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

const K_BLOCK = 768;
const ROW_BLOCK = 128;
/** Of operands that are not panels. */
const GROUP_K_BLOCK = 256;
const PANEL_GROUP = 32;

/** A block of x, then one long panel block or a group of short ones. */
export function blockBytes(): usize {
  return ((ROW_BLOCK * K_BLOCK) << 2) + ((PANEL_GROUP * GROUP_K_BLOCK) << 6);
}

/** Adds the product onto y. x has given distances between rows and between inner indices; one of them is 4. */
export function multiply(
  kind: i32,
  w: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  rows: i32,
  n: i32,
  k: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const panels = kind == PANELS_F32 || kind == PANELS_BF16;
  const yRow = n << 2;
  const group = panels ? end - begin : PANEL_GROUP;
  const deep = evenPart(k, panels ? K_BLOCK : GROUP_K_BLOCK);
  const high = evenPart(rows, ROW_BLOCK);
  const wBlock = work + ((ROW_BLOCK * K_BLOCK) << 2);
  for (let p0 = begin; p0 < end; p0 += group) {
    const p1 = min(p0 + group, end);
    for (let k0 = 0; k0 < k; k0 += deep) {
      const kn = min(deep, k - k0);
      if (!panels) {
        for (let p = p0; p < p1; p++) {
          packBlock(kind, w, n, k, p, k0, kn, wBlock + (((p - p0) * kn) << 6));
        }
      }
      for (let r0 = 0; r0 < rows; r0 += high) {
        const rn = min(high, rows - r0);
        packGroups(x + r0 * xRow + k0 * xStep, xRow, xStep, rn, kn, work);
        for (let p = p0; p < p1; p++) {
          let panel = w + ((p * k + k0) << 6);
          if (!panels) panel = wBlock + (((p - p0) * kn) << 6);
          else if (kind == PANELS_BF16) {
            panel = wBlock;
            packBlock(kind, w, n, k, p, k0, kn, panel);
          }
          const to = y + r0 * yRow + (p << 6);
          tileGroups(panel, work, to, yRow, rn, min(16, n - (p << 4)), kn);
        }
      }
    }
  }
}

/** Cuts n into as few parts of at most `most` as possible, about equally large. */
// @ts-ignore: decorator
@inline function evenPart(n: i32, most: i32): i32 {
  const parts = max(1, (n + most - 1) / most);
  return max(1, (n + parts - 1) / parts);
}
