/**
 * The blocked product, for many rows: 256 inner indices x 128 rows of x are copied side by side, and stay in the
 * second-level cache while every panel, sixteen kilobytes of it at a time, passes by (Goto & van de Geijn 2008).
 */
import { packBlock, PANELS_F32, transpose4 } from "./panels.as";
import { copyFloats } from "../simd.as";
import { tileRows } from "./tiles.as";

const K_BLOCK = 256;
const ROW_BLOCK = 128;
const PANEL_GROUP = 32;

/** Working memory of the blocked product: a block of x, then a group of panel blocks. */
export function blockBytes(): usize {
  return ((ROW_BLOCK * K_BLOCK) << 2) + ((PANEL_GROUP * K_BLOCK) << 6);
}

/** Adds the product onto y. x has given distances between its rows and between its inner indices; one of them is 4. */
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
  const packed = kind == PANELS_F32;
  const yRow = (<usize>n) << 2;
  const group = packed ? end - begin : PANEL_GROUP;
  const wBlock = work + ((ROW_BLOCK * K_BLOCK) << 2);
  for (let p0 = begin; p0 < end; p0 += group) {
    const p1 = min(p0 + group, end);
    for (let k0 = 0; k0 < k; k0 += K_BLOCK) {
      const kn = min(K_BLOCK, k - k0);
      if (!packed) {
        for (let p = p0; p < p1; p++) {
          packBlock(kind, w, n, k, p, k0, kn, wBlock + ((<usize>(p - p0) * <usize>kn) << 6));
        }
      }
      for (let r0 = 0; r0 < rows; r0 += ROW_BLOCK) {
        const rn = min(ROW_BLOCK, rows - r0);
        packRowBlock(x + <usize>r0 * xRow + <usize>k0 * xStep, xRow, xStep, rn, kn, work);
        for (let p = p0; p < p1; p++) {
          const panel = packed
            ? w + ((<usize>p * <usize>k + <usize>k0) << 6)
            : wBlock + ((<usize>(p - p0) * <usize>kn) << 6);
          tileRows(
            panel,
            64,
            work,
            (<usize>kn) << 2,
            4,
            y + <usize>r0 * yRow + ((<usize>p) << 6),
            yRow,
            rn,
            min(16, n - (p << 4)),
            kn,
          );
        }
      }
    }
  }
}

/** A block of x, [rows][kn], side by side. */
function packRowBlock(x: usize, xRow: usize, xStep: usize, rows: i32, kn: i32, to: usize): void {
  const row = (<usize>kn) << 2;
  if (xStep == 4) {
    for (let r = 0; r < rows; r++) copyFloats(to + <usize>r * row, x + <usize>r * xRow, kn);
    return;
  }
  for (let r = 0; r < rows; r += 4) {
    for (let k = 0; k < kn; k += 4) {
      const from = x + <usize>r * xRow + <usize>k * xStep;
      const at = to + <usize>r * row + ((<usize>k) << 2);
      if (r + 4 <= rows && k + 4 <= kn) {
        transpose4(
          v128.load(from),
          v128.load(from + xStep),
          v128.load(from + 2 * xStep),
          v128.load(from + 3 * xStep),
          at,
          row,
        );
      } else {
        for (let i = 0; i < min(4, rows - r); i++) {
          for (let j = 0; j < min(4, kn - k); j++) {
            store<f32>(at + <usize>i * row + ((<usize>j) << 2), load<f32>(from + ((<usize>i) << 2) + <usize>j * xStep));
          }
        }
      }
    }
  }
}
