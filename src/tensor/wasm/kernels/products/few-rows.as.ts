/**
 * Products with few rows of x: every panel of W is read once, front to back. One row reads two panels at a time; a few
 * rows share a panel, or pieces of it if W is larger than the caches.
 */
import { halfRows, halves1x32 } from "./halves.as";
import { panelBytes, PANELS_BF16, PANELS_F32 } from "./panels.as";
import { copyFloats } from "../simd.as";
import { tile1x16, tile3x12, tile3x4x2, tileRows } from "./tiles.as";

/** With two to this many rows, W is streamed: with more, arithmetic takes most of the time. */
export const STREAM_ROWS = 8;
/** With up to this many rows, W is read at two places at once: with more, reading at one place keeps up. */
const PAIRED_ROWS = 3;
/**
 * Inner indices of a piece: of float32, one to one and a half kilobytes of a panel. While all rows but the first two
 * compute, memory delivers no more than the processor prefetches by itself: longer pieces wait longer at their
 * beginning, shorter ones load and store the sums more often. Eight rows compute longest. (Measured interleaved with 8
 * to 32: eight rows are 12 % faster than with pieces of 32, four rows 4 %.)
 */
const PIECE = 24;
const PIECE_OF_EIGHT = 16;
/** Inner indices after which one row switches to the other of two float32 panels: two kilobytes. */
const TURN = 32;

/** Working memory of the streamed product of inner size k: the sums of two panels, then x. */
export function streamBytes(k: i32): usize {
  return <usize>(STREAM_ROWS << 7) + <usize>((STREAM_ROWS * k) << 2);
}

/**
 * One row, two panels half of the range apart: read at two places, memory delivers a quarter more than at one; at four,
 * less. Two panels of bfloat16 go together, which keeps the multiplier busy as well; two of float32 would not fit the
 * registers, and take turns.
 */
export function pairedPanels(kind: i32, w: usize, x: usize, y: usize, n: i32, k: i32, begin: i32, end: i32): void {
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
 * Reads every panel once, its whole length for each pair of rows; the last three of an odd number of rows take two
 * panels at a time.
 */
export function wholePanels(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  rows: i32,
  n: i32,
  k: i32,
  begin: i32,
  end: i32,
): void {
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
 * Reads every panel, or two panels half of the range apart, in pieces that all rows use in turn. The first two rows
 * wait for memory; the others find the piece in the first-level cache. Rows of x are copied side by side, and so are
 * the sums: the distance between rows of a matrix is often a multiple of 4096, and such rows compete for the same few
 * places of that cache.
 */
export function streamPanels(
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
