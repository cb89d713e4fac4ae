/** Quantized rows with one panel of integer weights: chooses the kernel. */
import { ACROSS_INT8, NIBBLE_HALVES, PAIRS } from "../../constants";
import { integerRowBytes } from "./activations.as";
import { byteRow } from "./bytes.as";
import { BYTES_HEAD, FLOAT_HEAD, HALF_HEAD, isExact, way } from "./dots.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { nibbleRow } from "./nibbles.as";
import { partBytes, partRows, sumsBytes } from "./records.as";
import { tileRows } from "./tile.as";
import { No, Yes } from "../../simd.as";

/** One row, as `quantizeRow` leaves it, with panel w: out [16]; of int8 with z too, unless that is w: other [16]. */
export function rowPanels(kind: i32, w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  if (isExact()) {
    exactRow(kind, w, x, groups, out);
    if (z != w) exactRow(kind, z, x, groups, other);
  } else if (kind != ACROSS_INT8) nibblePanels(kind, w, x, groups, 1, out);
  else if (way == PAIRS) byteRow<Yes>(w, z, x, groups, out, other);
  else byteRow<No>(w, z, x, groups, out, other);
}

/** The row with consecutive panels of int4: out [panels][16]. Not for EXACT. */
export function nibblePanels(kind: i32, w: usize, x: usize, groups: i32, panels: i32, out: usize): void {
  if (kind == NIBBLE_HALVES) {
    if (way == PAIRS) nibbleRow<Yes, No>(w, x, groups, panels, out);
    else nibbleRow<No, No>(w, x, groups, panels, out);
  } else if (way == PAIRS) nibbleRow<Yes, Yes>(w, x, groups, panels, out);
  else nibbleRow<No, Yes>(w, x, groups, panels, out);
}

// @ts-ignore: decorator
@inline function headOf(kind: i32): usize {
  return kind == ACROSS_INT8 ? BYTES_HEAD : kind == NIBBLE_HALVES ? HALF_HEAD : FLOAT_HEAD;
}

/**
 * Rows, as `quantizeParts` leaves them, with panels `apart` bytes apart: sums [panels][rows][16]. Several panels take
 * no more rows than a part.
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
    for (let i = 0; i < panels; i++) exactRows(kind, w + i * apart, x, rows, groups, sums + ((i * rows) << 6));
    return;
  }
  const pairs = way == PAIRS;
  const bytes = kind == ACROSS_INT8;
  const head = headOf(kind);
  if (bytes && pairs) tileRows<Yes, No>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (bytes) tileRows<No, No>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (pairs) tileRows<Yes, Yes>(head, w, apart, panels, x, rows, groups, facts, sums);
  else tileRows<No, Yes>(head, w, apart, panels, x, rows, groups, facts, sums);
}

function exactRows(kind: i32, w: usize, x: usize, rows: i32, groups: i32, sums: usize): void {
  const size = partBytes(rows, groups);
  const row = integerRowBytes(groups);
  const most = partRows(rows);
  for (; rows > 0; rows -= most) {
    for (let r = 0; r < min(rows, most); r++) {
      exactRow(kind, w, x + r * row, groups, sums + (r << 6));
    }
    x += size;
    sums += sumsBytes(most);
  }
}

function exactRow(kind: i32, w: usize, x: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) exactBytes(w, x, groups, out);
  else exactNibbles(headOf(kind), w, x, groups, out);
}
