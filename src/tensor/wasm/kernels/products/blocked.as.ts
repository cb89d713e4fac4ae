/**
 * Naive loop: matmul in src/tensor/reference/products.ts, which sums in float64.
 * The blocked product, for many rows (Goto & van de Geijn 2008). A block of x, 128 rows by up to 768 inner indices, is
 * packed in groups of rows (groups.as.ts) and stays in the second-level cache while every panel passes by. Blocks are
 * long because every tile loads and stores its sums once per block, and leaving its loop is expensive.
 *
 * Panels of float32 are used in place. Those of bfloat16 are widened just before use, a fortieth of the time of 128
 * rows. Other operands are costly to bring into panels: a group is packed once for all blocks of rows, in shorter
 * blocks, so that it stays in the cache.
 */
import { PANELS_BF16, PANELS_F32 } from "../constants";
import { packGroups, tileGroups } from "./groups.as";
import { packBlock } from "./panels.as";

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
