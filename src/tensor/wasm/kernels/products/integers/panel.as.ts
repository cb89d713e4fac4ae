/** Quantized rows with one panel of integer weights: chooses the kernel. One row has kernels of its own. */
import { ACROSS_INT8, NIBBLE_HALVES, PAIRS } from "../../constants";
import { integerRowBytes } from "./activations.as";
import { byteDotsRow, bytePairsRow } from "./bytes.as";
import { BYTES_HEAD, FLOAT_HEAD, HALF_HEAD, isExact, way } from "./dots.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { floatDotsRow, floatPairsRow, halfDotsRow, halfPairsRow } from "./nibbles.as";
import { partBytes, partRows, sumsBytes } from "./records.as";
import { byteDots, bytePairs, nibbleDots, nibblePairs } from "./tile.as";

/** One row, as `quantizeRow` leaves it, with panel w: out [16]; of int8 with z too, unless that is w: other [16]. */
export function rowPanels(kind: i32, w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  if (isExact()) {
    exactRow(kind, w, x, groups, out);
    if (z != w) exactRow(kind, z, x, groups, other);
  } else if (kind != ACROSS_INT8) nibbleRow(kind, w, x, groups, 1, out);
  else if (way == PAIRS) bytePairsRow(w, z, x, groups, out, other);
  else byteDotsRow(w, z, x, groups, out, other);
}

/** The row with so many panels of int4, one after another: out [panels][16]. Not for the way EXACT. */
export function nibbleRow(kind: i32, w: usize, x: usize, groups: i32, panels: i32, out: usize): void {
  if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) halfPairsRow(w, x, groups, panels, out);
    else halfDotsRow(w, x, groups, panels, out);
  } else if (way == PAIRS) floatPairsRow(w, x, groups, panels, out);
  else floatDotsRow(w, x, groups, panels, out);
}

/** Bytes before the weights of a group. */
// @ts-ignore: decorator
@inline function headOf(kind: i32): usize {
  return kind == ACROSS_INT8 ? BYTES_HEAD : kind == NIBBLE_HALVES ? HALF_HEAD : FLOAT_HEAD;
}

/**
 * Rows, as `quantizeParts` leaves them, with panels `apart` bytes apart: sums [panels][rows][16]. More than one panel
 * takes no more rows than a part.
 */
export function rowsPanels(
  kind: i32,
  w: usize,
  apart: usize,
  panels: i32,
  x: usize,
  rows: i32,
  groups: i32,
  facts: usize,
  sums: usize,
): void {
  if (isExact()) {
    for (let i = 0; i < panels; i++)
      exactRows(kind, w + <usize>i * apart, x, rows, groups, sums + ((<usize>(i * rows)) << 6));
    return;
  }
  const pairs = way == PAIRS;
  const bytes = kind == ACROSS_INT8;
  const head = headOf(kind);
  if (bytes && pairs) bytePairs(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (bytes) byteDots(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (pairs) nibblePairs(head, w, apart, panels, x, rows, groups, facts, sums);
  else nibbleDots(head, w, apart, panels, x, rows, groups, facts, sums);
}

function exactRows(kind: i32, w: usize, x: usize, rows: i32, groups: i32, sums: usize): void {
  const size = partBytes(rows, groups);
  const row = integerRowBytes(groups);
  const most = partRows(rows);
  for (; rows > 0; rows -= most) {
    for (let r = 0; r < min(rows, most); r++) {
      exactRow(kind, w, x + <usize>r * row, groups, sums + ((<usize>r) << 6));
    }
    x += size;
    sums += sumsBytes(most);
  }
}

function exactRow(kind: i32, w: usize, x: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) exactBytes(w, x, groups, out);
  else exactNibbles(headOf(kind), w, x, groups, out);
}
