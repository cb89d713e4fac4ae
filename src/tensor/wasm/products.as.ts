/**
 * Products: y = x·Wᵀ + bias + residual for packed weights, and the general matrix product, both on the tiles of tiles.as.ts.
 *   a few rows    panel by panel, straight from x: W is read once, which is all that matters
 *   many rows     blocked: 256 inner indices x 128 rows of x are copied side by side so that they stay in the second-level cache while
 *                 every panel, sixteen kilobytes of it at a time, passes by (Goto & van de Geijn 2008)
 * Bias and residual are written first and the sums added onto them. Blocks of k go on from the sums so far, so the order of addition,
 * and every bit, is that of the plain loop. `begin` and `end` bound the panels (columns / 16) computed: the unit of work for threads.
 */
import { halfRows } from "./halves.as";
import { packBlock, panelBytes, PANELS_F32, transpose4 } from "./panels.as";
import { copyFloats, storeTail, zeroFloats } from "./simd.as";
import { tile4x8, tileRows } from "./tiles.as";

/** Up to this many rows the weights are not copied and x is read where it lies. */
const FEW_ROWS = 16;
const K_BLOCK = 256;
const ROW_BLOCK = 128;
const PANEL_GROUP = 32;

/** Working memory of the blocked product: a block of x, then a group of panel blocks. */
export function workBytes(): usize {
  return (ROW_BLOCK * K_BLOCK << 2) + (PANEL_GROUP * K_BLOCK << 6);
}

/** y [rows, n] = x [rows, k] · Wᵀ + bias [n] + residual [rows, n]; `kind` is PANELS_F32 or PANELS_BF16; 0 stands for no bias, no residual. */
export function linear(kind: i32, w: usize, x: usize, y: usize, bias: usize, residual: usize, rows: i32, n: i32, k: i32, work: usize, begin: i32, end: i32): void {
  startRows(y, bias, residual, rows, n, begin, end);
  if (rows > FEW_ROWS) multiply(kind, w, x, <usize>k << 2, 4, y, rows, n, k, work, begin, end);
  else fewRows(kind, w, x, y, rows, n, k, begin, end);
}

/** y [m, n] = op(a) · b for one matrix; `kind` says how b lies. op(a) is [m, k], stored [k, m] if `transposed`. */
export function matmul(kind: i32, a: usize, b: usize, y: usize, m: i32, n: i32, k: i32, transposed: i32, work: usize, begin: i32, end: i32): void {
  startRows(y, 0, 0, m, n, begin, end);
  if (transposed) multiply(kind, b, a, 4, <usize>m << 2, y, m, n, k, work, begin, end);
  else multiply(kind, b, a, <usize>k << 2, 4, y, m, n, k, work, begin, end);
}

/** Writes what the sums start from: bias + residual, columns [16 begin, 16 end). */
export function startRows(y: usize, bias: usize, residual: usize, rows: i32, n: i32, begin: i32, end: i32): void {
  const first = begin << 4, count = min(n, end << 4) - first;
  if (count <= 0) return;
  const row = <usize>n << 2, offset = <usize>first << 2;
  for (let r = 0; r < rows; r++) {
    const to = y + <usize>r * row + offset, from = residual + <usize>r * row + offset;
    if (bias != 0 && residual != 0) addRow(to, bias + offset, from, count);
    else if (bias != 0) copyFloats(to, bias + offset, count);
    else if (residual != 0) copyFloats(to, from, count);
    else zeroFloats(to, count);
  }
}

function addRow(to: usize, a: usize, b: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(to, f32x4.add(v128.load(a), v128.load(b)));
    to += 16;
    a += 16;
    b += 16;
  }
  if (n > 0) storeTail(to, f32x4.add(v128.load(a), v128.load(b)), n);
}

/**
 * One pass over W. For three to seven rows a panel is cut into pieces of two kilobytes, so that memory delivers the next piece while
 * this one is used again; four rows run as 4 x 8. With eight and more arithmetic is the limit, and panels stay whole.
 */
function fewRows(kind: i32, w: usize, x: usize, y: usize, rows: i32, n: i32, k: i32, begin: i32, end: i32): void {
  const xRow = <usize>k << 2, yRow = <usize>n << 2, panel = panelBytes(kind, k);
  const piece = rows <= 2 || rows >= 8 ? k : 32, quad = kind == PANELS_F32 && (rows == 4 || rows == 5);
  w += <usize>begin * panel;
  for (let p = begin; p < end; p++) {
    const columns = min(16, n - (p << 4));
    for (let k0 = 0; k0 < k; k0 += piece) {
      const kn = min(piece, k - k0);
      let from = x + (<usize>k0 << 2), to = y + (<usize>p << 6), left = rows;
      if (kind != PANELS_F32) {
        halfRows(w + (<usize>k0 << 5), from, xRow, to, yRow, rows, columns, kn);
        continue;
      }
      const at = w + (<usize>k0 << 6);
      if (quad && columns == 16) {
        tile4x8(at, 64, from, xRow, 4, to, yRow, kn);
        tile4x8(at + 32, 64, from, xRow, 4, to + 32, yRow, kn);
        from += xRow << 2;
        to += yRow << 2;
        left -= 4;
      }
      tileRows(at, 64, from, xRow, 4, to, yRow, left, columns, kn);
    }
    w += panel;
  }
}

/** Blocked product onto y. x is given by the distances between its rows and between its inner indices; one of them is 4. */
function multiply(kind: i32, w: usize, x: usize, xRow: usize, xStep: usize, y: usize, rows: i32, n: i32, k: i32, work: usize, begin: i32, end: i32): void {
  const packed = kind == PANELS_F32, yRow = <usize>n << 2;
  const group = packed ? end - begin : PANEL_GROUP;
  const wBlock = work + (ROW_BLOCK * K_BLOCK << 2);
  for (let p0 = begin; p0 < end; p0 += group) {
    const p1 = min(p0 + group, end);
    for (let k0 = 0; k0 < k; k0 += K_BLOCK) {
      const kn = min(K_BLOCK, k - k0);
      if (!packed) for (let p = p0; p < p1; p++) packBlock(kind, w, n, k, p, k0, kn, wBlock + (<usize>(p - p0) * <usize>kn << 6));
      for (let r0 = 0; r0 < rows; r0 += ROW_BLOCK) {
        const rn = min(ROW_BLOCK, rows - r0);
        packRowBlock(x + <usize>r0 * xRow + <usize>k0 * xStep, xRow, xStep, rn, kn, work);
        for (let p = p0; p < p1; p++) {
          const panel = packed ? w + ((<usize>p * <usize>k + <usize>k0) << 6) : wBlock + (<usize>(p - p0) * <usize>kn << 6);
          tileRows(panel, 64, work, <usize>kn << 2, 4, y + <usize>r0 * yRow + (<usize>p << 6), yRow, rn, min(16, n - (p << 4)), kn);
        }
      }
    }
  }
}

/** A block of x, [rows][kn], side by side. */
function packRowBlock(x: usize, xRow: usize, xStep: usize, rows: i32, kn: i32, to: usize): void {
  const row = <usize>kn << 2;
  if (xStep == 4) {
    for (let r = 0; r < rows; r++) copyFloats(to + <usize>r * row, x + <usize>r * xRow, kn);
    return;
  }
  for (let r = 0; r < rows; r += 4) {
    for (let k = 0; k < kn; k += 4) {
      const from = x + <usize>r * xRow + <usize>k * xStep, at = to + <usize>r * row + (<usize>k << 2);
      if (r + 4 <= rows && k + 4 <= kn) transpose4(v128.load(from), v128.load(from + xStep), v128.load(from + 2 * xStep), v128.load(from + 3 * xStep), at, row);
      else for (let i = 0; i < min(4, rows - r); i++) for (let j = 0; j < min(4, kn - k); j++) store<f32>(at + <usize>i * row + (<usize>j << 2), load<f32>(from + (<usize>i << 2) + <usize>j * xStep));
    }
  }
}
