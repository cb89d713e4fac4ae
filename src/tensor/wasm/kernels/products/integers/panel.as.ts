/** Quantized rows with one panel of integer weights: chooses the kernel. One and two rows have kernels of their own. */
import { integerRowBytes } from "./activations.as";
import { byteDotsRow, bytePairsRow } from "./bytes.as";
import { EXACT, FLOAT_HEAD, HALF_HEAD, PAIRS, way } from "./dots.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { floatDotsRow, floatPairsRow, halfDotsRow, halfPairsRow } from "./nibbles.as";
import { byteDots, bytePairs, floatDots, floatPairs, halfDots, halfPairs, TILE_ROWS } from "./tile.as";
import { byteDots2, bytePairs2, floatDots2, floatPairs2, halfDots2, halfPairs2 } from "./two-rows.as";
import { ACROSS_INT8, NIBBLE_HALVES } from "../panels.as";

/** From this many rows on, rows are computed in tiles: then three rows cost no more than four. */
const TILED_ROWS = 3;

/** Rows of x, and of the sums, that room is needed for: the last tile is whole. */
export function paddedRows(rows: i32): i32 {
  return rows < TILED_ROWS ? rows : (rows + TILE_ROWS - 1) & -TILE_ROWS;
}

/** out [rows, padded][16]. */
export function integerPanel(kind: i32, w: usize, x: usize, rows: i32, groups: i32, out: usize): void {
  const size = integerRowBytes(groups);
  if (way == EXACT) {
    for (; rows > 0; rows--) {
      exactRow(kind, w, x, groups, out);
      x += size;
      out += 64;
    }
  } else if (rows >= TILED_ROWS) tiledRows(kind, w, x, size, paddedRows(rows) / TILE_ROWS, groups, out);
  else if (rows == 2) twoRows(kind, w, x, size, groups, out);
  else if (rows == 1) oneRow(kind, w, x, groups, out);
}

function exactRow(kind: i32, w: usize, x: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) exactBytes(w, x, groups, out);
  else exactNibbles(kind == NIBBLE_HALVES ? HALF_HEAD : FLOAT_HEAD, w, x, groups, out);
}

function tiledRows(kind: i32, w: usize, x: usize, size: usize, tiles: i32, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) {
    if (way == PAIRS) bytePairs(w, x, size, tiles, groups, out);
    else byteDots(w, x, size, tiles, groups, out);
  } else if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) halfPairs(w, x, size, tiles, groups, out);
    else halfDots(w, x, size, tiles, groups, out);
  } else if (way == PAIRS) floatPairs(w, x, size, tiles, groups, out);
  else floatDots(w, x, size, tiles, groups, out);
}

function twoRows(kind: i32, w: usize, x: usize, size: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) {
    if (way == PAIRS) bytePairs2(w, x, size, groups, out);
    else byteDots2(w, x, size, groups, out);
  } else if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) halfPairs2(w, x, size, groups, out);
    else halfDots2(w, x, size, groups, out);
  } else if (way == PAIRS) floatPairs2(w, x, size, groups, out);
  else floatDots2(w, x, size, groups, out);
}

function oneRow(kind: i32, w: usize, x: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) {
    if (way == PAIRS) bytePairsRow(w, x, groups, out);
    else byteDotsRow(w, x, groups, out);
  } else if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) halfPairsRow(w, x, groups, out);
    else halfDotsRow(w, x, groups, out);
  } else if (way == PAIRS) floatPairsRow(w, x, groups, out);
  else floatDotsRow(w, x, groups, out);
}
