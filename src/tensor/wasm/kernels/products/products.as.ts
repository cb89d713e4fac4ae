/**
 * Products: y = x·Wᵀ + bias + residual for packed weights, and the general matrix product, both on the tiles of
 * tiles.as.ts.
 *   one row       W read once, at two places: the speed of memory
 *   a few rows    the same; large W in pieces that all rows use while the next pieces are on their way
 *   many rows     blocked: 256 inner indices x 128 rows of x are copied side by side so that they stay in the second-level cache while
 *                 every panel, sixteen kilobytes of it at a time, passes by (Goto & van de Geijn 2008)
 * Bias and residual are written first and the sums added onto them. Blocks of k go on from the sums so far, so the
 * order of addition, and every bit, is that of the plain loop. `begin` and `end` bound the panels (columns / 16)
 * computed: the unit of work for threads.
 */
import { halfRows, halves1x32 } from "./halves.as";
import { packBlock, panelBytes, PANELS_BF16, PANELS_F32, transpose4 } from "./panels.as";
import { copyFloats, storeTail, zeroFloats } from "../simd.as";
import { tile1x16, tile3x12, tile3x4x2, tileRows } from "./tiles.as";

/** Up to this many rows the weights are not copied and x is read where it lies. */
const FEW_ROWS = 16;
/** From two to so many rows, W is streamed: with more of them arithmetic takes most of the time. */
const STREAM_ROWS = 8;
/** Up to so many rows W is read at two places at once: with more, arithmetic takes so long that one place keeps up. */
const PAIRED_ROWS = 3;
/** Smaller matrices belong to models that sit in the caches. */
const STREAM_WEIGHTS = 1 << 18;
/**
 * Inner indices of a piece, float32 one to one and a half kilobytes of a panel. While all rows but the first two
 * compute, memory brings no more than the processor fetches ahead unasked: longer pieces wait longer at their
 * beginning, shorter ones load and store the sums more often. Eight rows compute longest. (Interleaved, 8 to 32 tried:
 * eight rows 12 % faster than with pieces of 32, four 4 %.)
 */
const PIECE = 24;
const PIECE_OF_EIGHT = 16;
/** Inner indices after which one row turns to the other of two float32 panels: two kilobytes. */
const TURN = 32;
const K_BLOCK = 256;
const ROW_BLOCK = 128;
const PANEL_GROUP = 32;

/** Working memory of the blocked product: a block of x, then a group of panel blocks. */
export function blockBytes(): usize {
  return ((ROW_BLOCK * K_BLOCK) << 2) + ((PANEL_GROUP * K_BLOCK) << 6);
}

/** Working memory of the streamed product of inner size k: the sums of two panels, then x. */
export function streamBytes(k: i32): usize {
  return <usize>(STREAM_ROWS << 7) + <usize>((STREAM_ROWS * k) << 2);
}

/**
 * y [rows, n] = x [rows, k] · Wᵀ + bias [n] + residual [rows, n]; `kind` is PANELS_F32 or PANELS_BF16; 0 stands for no
 * bias, no residual.
 */
export function linear(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  residual: usize,
  rows: i32,
  n: i32,
  k: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  startRows(y, bias, residual, rows, n, begin, end);
  if (rows > FEW_ROWS) multiply(kind, w, x, (<usize>k) << 2, 4, y, rows, n, k, work, begin, end);
  else if (rows > 1 && rows <= STREAM_ROWS && !small(n, k)) streamPanels(kind, w, x, y, rows, n, k, work, begin, end);
  else if (rows == 1 && (kind == PANELS_BF16 || !small(n, k))) pairedPanels(kind, w, x, y, n, k, begin, end);
  else wholePanels(kind, w, x, y, rows, n, k, begin, end);
}

// @ts-ignore: decorator
@inline function small(n: i32, k: i32): bool {
  return <i64>n * <i64>k < STREAM_WEIGHTS;
}

/** y [m, n] = op(a) · b for one matrix; `kind` says how b lies. op(a) is [m, k], stored [k, m] if `transposed`. */
export function matmul(
  kind: i32,
  a: usize,
  b: usize,
  y: usize,
  m: i32,
  n: i32,
  k: i32,
  transposed: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  startRows(y, 0, 0, m, n, begin, end);
  if (transposed) multiply(kind, b, a, 4, (<usize>m) << 2, y, m, n, k, work, begin, end);
  else multiply(kind, b, a, (<usize>k) << 2, 4, y, m, n, k, work, begin, end);
}

/** Writes what the sums start from: bias + residual, columns [16 begin, 16 end). */
export function startRows(y: usize, bias: usize, residual: usize, rows: i32, n: i32, begin: i32, end: i32): void {
  const first = begin << 4;
  const count = min(n, end << 4) - first;
  if (count <= 0) return;
  const row = (<usize>n) << 2;
  const offset = (<usize>first) << 2;
  for (let r = 0; r < rows; r++) {
    const to = y + <usize>r * row + offset;
    const from = residual + <usize>r * row + offset;
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
 * One row, two panels half of the range apart: read at two places memory gives a quarter more than at one, and at four
 * less. Two panels of bfloat16 go together, which keeps the multiplier busy as well; those of float32 would not fit the
 * registers, and take turns.
 */
function pairedPanels(kind: i32, w: usize, x: usize, y: usize, n: i32, k: i32, begin: i32, end: i32): void {
  const panel = panelBytes(kind, k);
  const half = max(0, min(end, n >> 4) - begin) >> 1;
  const far = <usize>half * panel;
  const apart = (<usize>half) << 6;
  for (let p = begin; p < begin + half; p++) {
    const at = w + <usize>p * panel;
    const to = y + ((<usize>p) << 6);
    if (kind == PANELS_BF16) {
      halves1x32(at, at + far, x, to, to + apart, k);
      continue;
    }
    for (let k0 = 0; k0 < k; k0 += TURN) {
      const kn = min(TURN, k - k0);
      const piece = at + ((<usize>k0) << 6);
      const from = x + ((<usize>k0) << 2);
      tile1x16(piece, 64, from, 4, to, kn);
      tile1x16(piece + far, 64, from, 4, to + apart, kn);
    }
  }
  wholePanels(kind, w, x, y, 1, n, k, begin + 2 * half, end);
}

/**
 * Every panel once, its whole length for each pair of rows, and two panels at a time for the last three of an odd
 * number.
 */
function wholePanels(kind: i32, w: usize, x: usize, y: usize, rows: i32, n: i32, k: i32, begin: i32, end: i32): void {
  const xRow = (<usize>k) << 2;
  const yRow = (<usize>n) << 2;
  const panel = panelBytes(kind, k);
  const three = kind == PANELS_F32 && rows > 1 && (rows & 1) != 0;
  const paired = rows - 3;
  for (let p = begin; p < end; p++) {
    const at = w + <usize>p * panel;
    const to = y + ((<usize>p) << 6);
    if (three && p + 1 < end && (p + 2) << 4 <= n) {
      const next = at + panel;
      const from = x + <usize>paired * xRow;
      const into = to + <usize>paired * yRow;
      tileRows(at, 64, x, xRow, 4, to, yRow, paired, 16, k);
      tileRows(next, 64, x, xRow, 4, to + 64, yRow, paired, 16, k);
      tile3x12(at, from, xRow, into, yRow, k);
      tile3x12(next, from, xRow, into + 64, yRow, k);
      tile3x4x2(at, next, from, xRow, into, yRow, k);
      p++;
    } else panelRows(kind, at, x, xRow, to, yRow, rows, min(16, n - (p << 4)), k);
  }
}

/**
 * Every panel, or two half of the range apart, in pieces that all rows use in turn. The first two rows wait for memory;
 * the others find the piece in the first-level cache. Rows of x are copied, the sums are kept, side by side: the rows
 * of matrices lie at distances that are often multiples of 4096, and then compete for the same few places of that
 * cache.
 */
function streamPanels(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  rows: i32,
  n: i32,
  k: i32,
  sums: usize,
  begin: i32,
  end: i32,
): void {
  const yRow = (<usize>n) << 2;
  const panel = panelBytes(kind, k);
  const half = rows > PAIRED_ROWS ? end - begin : (end - begin + 1) >> 1;
  const far = <usize>half * panel;
  const others = sums + (STREAM_ROWS << 6);
  const packed = others + (STREAM_ROWS << 6);
  const deep = rows < STREAM_ROWS ? PIECE : PIECE_OF_EIGHT;
  packPieces(x, rows, k, deep, packed);
  for (let p = begin; p < begin + half; p++) {
    const q = p + half;
    const both = q < end;
    const at = y + ((<usize>p) << 6);
    const to = y + ((<usize>q) << 6);
    const columns = min(16, n - (p << 4));
    const rest = min(16, n - (q << 4));
    copyTile(sums, 64, at, yRow, rows, columns);
    if (both) copyTile(others, 64, to, yRow, rows, rest);
    let from = packed;
    let piece = w + <usize>p * panel;
    for (let k0 = 0; k0 < k; k0 += deep) {
      const kn = min(deep, k - k0);
      panelRows(kind, piece, from, (<usize>kn) << 2, sums, 64, rows, 16, kn);
      if (both) panelRows(kind, piece + far, from, (<usize>kn) << 2, others, 64, rows, 16, kn);
      from += (<usize>(rows * kn)) << 2;
      piece += panelBytes(kind, deep);
    }
    copyTile(at, yRow, sums, 64, rows, columns);
    if (both) copyTile(to, yRow, others, 64, rows, rest);
  }
}

/** x [rows, k] -> [k / deep][rows][deep]; the last piece may be shorter. */
function packPieces(x: usize, rows: i32, k: i32, deep: i32, to: usize): void {
  for (let k0 = 0; k0 < k; k0 += deep) {
    const kn = min(deep, k - k0);
    for (let r = 0; r < rows; r++) {
      copyFloats(to, x + ((<usize>r * <usize>k + <usize>k0) << 2), kn);
      to += (<usize>kn) << 2;
    }
  }
}

function copyTile(to: usize, toRow: usize, from: usize, fromRow: usize, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) copyFloats(to + <usize>r * toRow, from + <usize>r * fromRow, columns);
}

/** Rows of y += rows of x times k rows of a panel. */
function panelRows(
  kind: i32,
  w: usize,
  x: usize,
  xRow: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  columns: i32,
  k: i32,
): void {
  if (kind == PANELS_F32) tileRows(w, 64, x, xRow, 4, y, yRow, rows, columns, k);
  else halfRows(w, x, xRow, y, yRow, rows, columns, k);
}

/**
 * Blocked product onto y. x is given by the distances between its rows and between its inner indices; one of them is 4.
 */
function multiply(
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
      if (!packed)
        for (let p = p0; p < p1; p++)
          packBlock(kind, w, n, k, p, k0, kn, wBlock + ((<usize>(p - p0) * <usize>kn) << 6));
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
      if (r + 4 <= rows && k + 4 <= kn)
        transpose4(
          v128.load(from),
          v128.load(from + xStep),
          v128.load(from + 2 * xStep),
          v128.load(from + 3 * xStep),
          at,
          row,
        );
      else
        for (let i = 0; i < min(4, rows - r); i++) {
          for (let j = 0; j < min(4, kn - k); j++)
            store<f32>(at + <usize>i * row + ((<usize>j) << 2), load<f32>(from + ((<usize>i) << 2) + <usize>j * xStep));
        }
    }
  }
}
