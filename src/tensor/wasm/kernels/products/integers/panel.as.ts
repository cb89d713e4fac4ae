/**
 * Quantized rows with one panel of integer weights: chooses the kernel. From four rows on, the panel is spread once and
 * tiles of four rows read it; other rows go one by one, while the panel lies in the first-level cache.
 */
import { integerRowBytes } from "./activations.as";
import { byteDotsRow, bytePairsRow } from "./bytes.as";
import { BYTES_HEAD, EXACT, FLOAT_HEAD, HALF_HEAD, PAIRS, way } from "./dots.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { floatDotsRow, floatPairsRow, halfDotsRow, halfPairsRow } from "./nibbles.as";
import { SPREAD_HEAD, spreadHeads, spreadNibbles } from "./spread.as";
import { byteDots, bytePairs, nibbleDots, nibblePairs } from "./tile.as";
import { ACROSS_INT8, NIBBLE_HALVES } from "../panels.as";

/** out [rows][16]. `spread` has `spreadBytes`. */
export function integerPanel(kind: i32, w: usize, x: usize, rows: i32, groups: i32, out: usize, spread: usize): void {
  const size = integerRowBytes(groups);
  if (way != EXACT && rows >= 4) {
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
