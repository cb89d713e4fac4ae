/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products with integer weights, from float32 to float32: rows are quantized, every panel multiplies them (one row:
 * bytes.as.ts, nibbles.as.ts, exact-rows.as.ts; several: tile.as.ts), and the sums are added onto y:
 *   y [rows, n] = (bias + residual) + (x · Wᵀ)
 */
import { ACROSS_INT8, EXACT, NIBBLE_HALVES, PAIRS } from "../../constants";
import { groupsOf, integerRowBytes, quantizeRow } from "./activations.as";
import { BYTES_HEAD, FLOAT_HEAD, HALF_HEAD, isExact, setWay, way } from "./dots.as";
import {
  FACTS_BYTES,
  measuringBytes,
  partBytes,
  partRows,
  partsOf,
  quantizeParts,
  sumsBytes,
  tileRows,
} from "./tile.as";
import { panelBytes } from "../layout.as";
import { startRows } from "../start-rows.as";
import { loadTail, No, storeTail, Yes } from "../../simd.as";
import { byteRow } from "./bytes.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { nibbleRow } from "./nibbles.as";

/** One row, as `quantizeRow` leaves it, with panel w: out [16]; of int8 with z too, unless that is w: other [16]. */
function rowPanels(kind: i32, w: usize, z: usize, x: usize, groups: i32, out: usize, other: usize): void {
  if (isExact()) {
    exactRow(kind, w, x, groups, out);
    if (z != w) exactRow(kind, z, x, groups, other);
  } else if (kind != ACROSS_INT8) nibblePanels(kind, w, x, groups, 1, out);
  else if (way == PAIRS) byteRow<Yes>(w, z, x, groups, out, other);
  else byteRow<No>(w, z, x, groups, out, other);
}

/** The row with consecutive panels of int4: out [panels][16]. Not for EXACT. */
function nibblePanels(kind: i32, w: usize, x: usize, groups: i32, panels: i32, out: usize): void {
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
function rowsPanels(
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

/** So few rows take two panels together: memory is faster at two places. */
const FEW_ROWS = 8;
/** Panels of one row whose sums are held before they are added. */
const SOME_PANELS = 6;
/** Before the quantized row of a product with one row: a padded group, and the sums of some panels. */
const ROW_AT: usize = 128 + SOME_PANELS * 64;

/** For `linearIntegers` and `quantizeIntegers`. */
export function integerWorkBytes(rows: i32, k: i32): usize {
  const groups = groupsOf(k);
  return max(
    ROW_AT + integerRowBytes(groups),
    max(measuringBytes(groups), FACTS_BYTES + sumsBytes(max(rows, 2 * FEW_ROWS))),
  );
}

export function quantizedBytes(rows: i32, k: i32): usize {
  return partsOf(rows) * partBytes(rows, groupsOf(k));
}

export function quantizeIntegers(
  kind: i32,
  x: usize,
  quantized: usize,
  rows: i32,
  k: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  quantizeParts(kind >= NIBBLE_HALVES, x, rows, k, quantized, work, begin, end);
}

/**
 * As `linear`; `kind` is ACROSS_INT8, NIBBLE_HALVES or NIBBLE_FLOATS. One row of x is float32; more have passed
 * `quantizeIntegers`.
 */
export function linearIntegers(
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
  const groups = groupsOf(k);
  const panel = panelBytes(kind, k);
  if (rows == 1) {
    const usual = quantizeOne(kind, x, k, work + ROW_AT, work);
    oneRow(kind, w, y, bias, residual, n, panel, groups, work, begin, end);
    setWay(usual);
    return;
  }
  startRows(y, bias, residual, rows, n, begin, end);
  const sums = work + FACTS_BYTES;
  const half = rows <= FEW_ROWS ? (end - begin) >> 1 : 0;
  for (let p = begin; p < begin + half; p++) {
    const q = p + half;
    rowsPanels(kind, w + p * panel, half * panel, 2, x, rows, groups, work, sums);
    addSums(y + (p << 6), n, sums, rows, 16);
    addSums(y + (q << 6), n, sums + (rows << 6), rows, min(16, n - (q << 4)));
  }
  for (let p = begin + 2 * half; p < end; p++) {
    rowsPanels(kind, w + p * panel, 0, 1, x, rows, groups, work, sums);
    addSums(y + (p << 6), n, sums, rows, min(16, n - (p << 4)));
  }
}

/** The row quantized at `work` + ROW_AT. Sums that start from zero are written in place. */
function oneRow(
  kind: i32,
  w: usize,
  y: usize,
  bias: usize,
  residual: usize,
  n: i32,
  panel: usize,
  groups: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const zero = bias == 0 && residual == 0;
  const full = min(end, n >> 4);
  const whole = zero ? full : begin;
  startRows(y, bias, residual, 1, n, whole, end);
  // int4 is read at one place: its limit is not the memory.
  while (kind != ACROSS_INT8 && !isExact() && begin < full) {
    const panels = zero ? full - begin : min(full - begin, SOME_PANELS);
    const to = y + (begin << 6);
    const out = zero ? to : work + 128;
    nibblePanels(kind, w + begin * panel, work + ROW_AT, groups, panels, out);
    if (!zero) addSums(to, n, out, 1, panels << 4);
    begin += panels;
  }
  const half = kind == ACROSS_INT8 ? (end - begin) >> 1 : 0;
  for (let i = begin; i < end - half; i++) {
    const pair = i < begin + half;
    const q = i + half;
    const p = pair ? i : q;
    const out = p < whole ? y + (p << 6) : work + 128;
    const other = q < whole ? y + (q << 6) : work + 192;
    rowPanels(kind, w + p * panel, w + q * panel, work + ROW_AT, groups, out, other);
    if (p >= whole) addSums(y + (p << 6), n, out, 1, min(16, n - (p << 4)));
    if (pair && q >= whole) addSums(y + (q << 6), n, other, 1, min(16, n - (q << 4)));
  }
}

/**
 * Entries `ids`, ascending, of the row that `linearIntegers` computes from one row of x, with its bits. Panels without
 * entries are not read. As there, int8 takes two panels together.
 */
export function integersAt(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  ids: usize,
  count: i32,
  k: i32,
  work: usize,
): void {
  const groups = groupsOf(k);
  const panel = panelBytes(kind, k);
  const out = work + 128;
  const quantized = work + ROW_AT;
  const usual = quantizeOne(kind, x, k, quantized, work);
  const end = ids + (count << 2);
  while (ids != end) {
    const p = load<i32>(ids) >> 4;
    let next = ids;
    do next += 4;
    while (kind == ACROSS_INT8 && next != end && load<i32>(next) >> 4 == p);
    const q = kind == ACROSS_INT8 && next != end ? load<i32>(next) >> 4 : p;
    rowPanels(kind, w + p * panel, w + q * panel, quantized, groups, out, out + 64);
    for (; ids != end; ids += 4) {
      const id = load<i32>(ids);
      if (id >> 4 != p && id >> 4 != q) break;
      const start: f32 = bias == 0 ? 0 : load<f32>(bias + (id << 2));
      const at = out + (id >> 4 == p ? 0 : 64) + ((id & 15) << 2);
      store<f32>(y, start + load<f32>(at));
      y += 4;
    }
  }
  setWay(usual);
}

/**
 * Quantizes a row of x. If its scales are not small enough for the kernels of one row, the way becomes EXACT. Returns
 * the usual way, which is to be set again.
 */
function quantizeOne(kind: i32, x: usize, k: i32, to: usize, tail: usize): i32 {
  const usual = way;
  const nibbles = kind >= NIBBLE_HALVES;
  quantizeRow(x, k, nibbles, to, tail);
  if (usual != EXACT && !isSmall(to, groupsOf(k), nibbles)) {
    setWay(EXACT);
    quantizeRow(x, k, nibbles, to, tail);
  }
  return usual;
}

/** True if a row's scales, and for nibbles t·Σa, stay finite times 2^112. */
function isSmall(row: usize, groups: i32, nibbles: bool): bool {
  let at = row + (groups << 6);
  for (const end = at + (groups << (nibbles ? 3 : 2)); at != end; at += 4) {
    if (!(abs(load<f32>(at)) < 65536)) return false;
  }
  return true;
}

function addSums(y: usize, n: i32, out: usize, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) {
    let c = 0;
    for (; c + 4 <= columns; c += 4) {
      const at = c << 2;
      v128.store(y + at, f32x4.add(v128.load(y + at), v128.load(out + at)));
    }
    if (c < columns) {
      const at = c << 2;
      const rest = columns - c;
      storeTail(y + at, f32x4.add(loadRest(y + at, rest), v128.load(out + at)), rest);
    }
    y += n << 2;
    out += 64;
  }
}

// @ts-ignore: decorator
@inline function loadRest(p: usize, n: i32): v128 {
  return loadTail(p, n, f32x4.splat(0));
}
