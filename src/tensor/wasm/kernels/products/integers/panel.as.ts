/**
 * Quantized rows with one panel of integer weights: chooses the kernel. Many rows go in tiles of four, which
 * read a panel that was spread once. Few rows go in pairs: spreading would wait for the memory, without computing.
 */
import { integerRowBytes } from "./activations.as";
import { byteDotsRow, bytePairsRow } from "./bytes.as";
import { BYTES_HEAD, EXACT, FLOAT_HEAD, HALF_HEAD, PAIRS, way } from "./dots.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { floatDotsRow, floatPairsRow, halfDotsRow, halfPairsRow } from "./nibbles.as";
import { SPREAD_HEAD, spreadHeads, spreadNibbles } from "./spread.as";
import { byteDots, bytePairs, nibbleDots, nibblePairs } from "./tile.as";
import { byteDots2, bytePairs2, floatDots2, floatPairs2, halfDots2, halfPairs2 } from "./two-rows.as";
import { ACROSS_INT8, NIBBLE_HALVES } from "../panels.as";

/** From this many rows on, a panel is spread. */
const TILED_ROWS = 16;

/** out [rows][16]. `spread` has `spreadBytes`. */
export function integerPanel(kind: i32, w: usize, x: usize, rows: i32, groups: i32, out: usize, spread: usize): void {
  const size = integerRowBytes(groups);
  if (way != EXACT && rows >= TILED_ROWS) {
    const q = kind == ACROSS_INT8 ? w + BYTES_HEAD : spread + <usize>groups * SPREAD_HEAD;
    if (kind == ACROSS_INT8) spreadHeads(w, groups, spread);
    else spreadNibbles(kind == NIBBLE_HALVES, w, groups, spread, q);
    for (; rows >= 4; rows -= 4) {
      memory.fill(out, 0, 256);
      for (let half: usize = 0; half < 64; half += 32)
        fourRows(kind, spread + half, q + half, x, size, groups, out + half);
      x += 4 * size;
      out += 256;
    }
  }
  for (; way != EXACT && rows >= 2; rows -= 2) {
    twoRows(kind, w, x, size, groups, out);
    x += 2 * size;
    out += 128;
  }
  for (; rows > 0; rows--) {
    oneRow(kind, w, x, groups, out);
    x += size;
    out += 64;
  }
}

function fourRows(kind: i32, head: usize, q: usize, x: usize, size: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) {
    if (way == PAIRS) bytePairs(head, q, x, size, groups, out);
    else byteDots(head, q, x, size, groups, out);
  } else if (way == PAIRS) nibblePairs(head, q, x, size, groups, out);
  else nibbleDots(head, q, x, size, groups, out);
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
    if (way == EXACT) exactBytes(w, x, groups, out);
    else if (way == PAIRS) bytePairsRow(w, x, groups, out);
    else byteDotsRow(w, x, groups, out);
  } else if (way == EXACT) exactNibbles(kind == NIBBLE_HALVES ? HALF_HEAD : FLOAT_HEAD, w, x, groups, out);
  else if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) halfPairsRow(w, x, groups, out);
    else halfDotsRow(w, x, groups, out);
  } else if (way == PAIRS) floatPairsRow(w, x, groups, out);
  else floatDotsRow(w, x, groups, out);
}
