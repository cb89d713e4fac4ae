/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products with integer weights, from float32 to float32: rows are quantized, every panel multiplies them (one row:
 * bytes.as.ts, nibbles.as.ts, exact-rows.as.ts; several: tile.as.ts), and the sums are added onto y:
 *   y [rows, n] = (bias + residual) + (x · Wᵀ)
 */
import {
  ACROSS_INT8,
  EXACT,
  INT8_GROUP,
  NIBBLE_CENTRED,
  NIBBLE_CENTRED_GROUP,
  NIBBLE_FLOATS,
  NIBBLE_FLOATS_GROUP,
  NIBBLE_HALVES,
  NIBBLE_HALVES_GROUP,
  PAIRS,
} from "../../constants";
import { groupsOf, integerRowBytes, quantizeRow } from "./activations.as";
import { clearSums, isExact, setWay, way } from "./dots.as";
import { Bytes, FACTS_BYTES, measuringBytes, Nibbles, tileRows, Unpacked } from "./tile.as";
import { KEPT_SUMS, panelBytes } from "../layout.as";
import { No, storeTail, Yes } from "../../simd.as";
import { bytePiece } from "./bytes.as";
import { exactBytes, exactNibbles } from "./exact-rows.as";
import { Centred, Floats, Halves, nibblePiece } from "./nibbles.as";

/**
 * Bytes of W that are read at one place before the next has its turn, and the boundaries at which turns end. On Zen 4,
 * a group of int8 then takes 19 to 21 ns from memory (15 from the caches); in turns of 1 or 4 KiB, or of 2 KiB from
 * elsewhere, 22 to 25.
 */
const REGION: i32 = 2048;

/**
 * One row, as `quantizeOne` leaves it, with panels `apart` bytes apart that advance together, in turns: sums
 * [panels][16]. A single panel has one turn.
 */
function rowTurns<Pairs, Form>(w: usize, apart: usize, panels: i32, x: usize, groups: i32, sums: usize): void {
  const group = groupBytes<Form>();
  const bytes = groups << 5;
  const end = sums + (panels << 6);
  const turns = panels == 1 ? 1 : (groups * group) / REGION + 2;
  clearSums(sums, end);
  for (let turn = 0; turn < turns; turn++) {
    let p = w;
    for (let to = sums; to != end; to += 64) {
      const g = groupsBefore(turn, p, group, groups);
      const some = (turn + 1 < turns ? groupsBefore(turn + 1, p, group, groups) : groups) - g;
      const q = p + g * group;
      const at = x + (g << 5);
      const t = x + 2 * bytes + (g << 2);
      if (sizeof<Form>() == sizeof<Bytes>()) bytePiece<Pairs>(q, at, bytes, t, some, to);
      else nibblePiece<Pairs, Form>(q, at, bytes, t, some, to);
      p += apart;
    }
  }
}

// @ts-ignore: decorator
@inline function groupBytes<Form>(): i32 {
  if (sizeof<Form>() == sizeof<Bytes>()) return INT8_GROUP;
  if (sizeof<Form>() == sizeof<Centred>()) return NIBBLE_CENTRED_GROUP;
  return sizeof<Form>() == sizeof<Halves>() ? NIBBLE_HALVES_GROUP : NIBBLE_FLOATS_GROUP;
}

/** How many groups of the panel at w end before its turn. */
// @ts-ignore: decorator
@inline function groupsBefore(turn: i32, w: usize, group: i32, groups: i32): i32 {
  return max(0, min(groups, (turn * REGION - ((<i32>w) & (REGION - 1))) / group));
}

function rowPanels(kind: i32, w: usize, apart: usize, panels: i32, x: usize, groups: i32, sums: usize): void {
  const pairs = way == PAIRS;
  if (isExact()) {
    for (let i = 0; i < panels; i++) exactRow(kind, w + i * apart, x, groups, sums + (i << 6));
  } else if (kind == ACROSS_INT8) {
    if (pairs) rowTurns<Yes, Bytes>(w, apart, panels, x, groups, sums);
    else rowTurns<No, Bytes>(w, apart, panels, x, groups, sums);
  } else if (kind == NIBBLE_CENTRED) {
    if (pairs) rowTurns<Yes, Centred>(w, apart, panels, x, groups, sums);
    else rowTurns<No, Centred>(w, apart, panels, x, groups, sums);
  } else if (kind == NIBBLE_HALVES) {
    if (pairs) rowTurns<Yes, Halves>(w, apart, panels, x, groups, sums);
    else rowTurns<No, Halves>(w, apart, panels, x, groups, sums);
  } else if (pairs) rowTurns<Yes, Floats>(w, apart, panels, x, groups, sums);
  else rowTurns<No, Floats>(w, apart, panels, x, groups, sums);
}

/** Bytes before the weights of a group. */
// @ts-ignore: decorator
@inline function headOf(kind: i32): usize {
  return panelBytes(kind, 32) - (kind == ACROSS_INT8 ? 512 : 256);
}

/** Rows, as `quantizeIntegers` leaves them, with panels `apart` bytes apart: sums [panels][rows][16]. */
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
    const row = integerRowBytes(groups);
    for (let i = 0; i < panels; i++) {
      for (let r = 0; r < rows; r++) exactRow(kind, w + i * apart, x + r * row, groups, sums + ((i * rows + r) << 6));
    }
    return;
  }
  const pairs = way == PAIRS;
  const bytes = kind == ACROSS_INT8;
  const head = headOf(kind);
  if (bytes && pairs) tileRows<Yes, Bytes>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (bytes) tileRows<No, Bytes>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (rows > FEW_ROWS && pairs) tileRows<Yes, Unpacked>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (rows > FEW_ROWS) tileRows<No, Unpacked>(head, w, apart, panels, x, rows, groups, facts, sums);
  else if (pairs) tileRows<Yes, Nibbles>(head, w, apart, panels, x, rows, groups, facts, sums);
  else tileRows<No, Nibbles>(head, w, apart, panels, x, rows, groups, facts, sums);
}

function exactRow(kind: i32, w: usize, x: usize, groups: i32, out: usize): void {
  if (kind == ACROSS_INT8) exactBytes(w, x, groups, out);
  else exactNibbles(headOf(kind), w, x, groups, out);
}

/** Rows up to this many advance with several panels together, a part of W apart each: `places` (../products.as.ts). */
const FEW_ROWS = 8;
/** Before the quantized row of a product with one row: a padded group, or sums of panels. */
const ROW_AT: usize = FACTS_BYTES + (KEPT_SUMS << 6);

/** For `linearIntegers` and `quantizeIntegers`. */
export function integerWorkBytes(rows: i32, k: i32): usize {
  const groups = groupsOf(k);
  return max(
    ROW_AT + integerRowBytes(groups),
    max(measuringBytes(rows, groups), FACTS_BYTES + (max(rows, KEPT_SUMS) << 6)),
  );
}

/**
 * As `linear`; `kind` is ACROSS_INT8 or one of NIBBLE_*. One row of x is float32; more have passed
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
  places: i32,
  begin: i32,
  end: i32,
): void {
  const groups = groupsOf(k);
  const usual = rows == 1 ? quantizeOne(kind, x, k, work + ROW_AT, work) : way;
  if (rows > FEW_ROWS) places = 1;
  const part = (end - begin) / places;
  const rest = begin + places * part;
  spreadPanels(kind, w, x, y, bias, residual, rows, n, groups, work, places, begin, part);
  spreadPanels(kind, w, x, y, bias, residual, rows, n, groups, work, end - rest, rest, 1);
  setWay(usual);
}

/** `part` panels, from `begin` on, at each of some places, so many apart. Sums are kept as in ../products.as.ts. */
function spreadPanels(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  residual: usize,
  rows: i32,
  n: i32,
  groups: i32,
  work: usize,
  places: i32,
  begin: i32,
  part: i32,
): void {
  if (places == 0) return;
  const panel = panelBytes(kind, groups << 5);
  const sums = work + FACTS_BYTES;
  const all = (places * rows) << 6;
  const most = max(1, KEPT_SUMS / (places * rows));
  for (let done = 0; done < part; done += most) {
    const some = min(most, part - done);
    const first = begin + done;
    let to = sums;
    for (let i = 0; i < some; i++, to += all) {
      const from = w + (first + i) * panel;
      if (rows == 1) rowPanels(kind, from, part * panel, places, work + ROW_AT, groups, to);
      else rowsPanels(kind, from, part * panel, places, x, rows, groups, work, to);
    }
    let own = sums;
    for (let p = first; p < first + places * part; p += part) {
      for (let r = 0; r < rows; r++) {
        const row: usize = (r * n) << 2;
        addSums(y + row, bias, residual == 0 ? 0 : residual + row, own, all, p << 6, min(n << 2, (p + some) << 6));
        own += 64;
      }
    }
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
  const out = work + FACTS_BYTES;
  const quantized = work + ROW_AT;
  const usual = quantizeOne(kind, x, k, quantized, work);
  const end = ids + (count << 2);
  while (ids != end) {
    const p = load<i32>(ids) >> 4;
    let next = ids;
    do next += 4;
    while (kind == ACROSS_INT8 && next != end && load<i32>(next) >> 4 == p);
    const q = kind == ACROSS_INT8 && next != end ? load<i32>(next) >> 4 : p;
    rowPanels(kind, w + p * panel, (q - p) * panel, q == p ? 1 : 2, quantized, groups, out);
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
  if (usual != EXACT && !scaleFacts(kind, to, groupsOf(k))) {
    setWay(EXACT);
    quantizeRow(x, k, nibbles, to, tail);
  }
  return usual;
}

/** Gives t and t·Σa the factors that bytes.as.ts and nibbles.as.ts need; false if they might not stay finite. */
function scaleFacts(kind: i32, row: usize, groups: i32): bool {
  const factor: f32 = kind == NIBBLE_FLOATS ? 1 : reinterpret<f32>(0x77800000);
  let at = row + (groups << 6);
  const totals = at + (groups << 2);
  for (const end = kind == ACROSS_INT8 ? totals : totals + (groups << 2); at != end; at += 4) {
    const fact = load<f32>(at);
    if (!(abs(fact) < 8192)) return false;
    store<f32>(at, kind == NIBBLE_CENTRED && at >= totals ? -8 * (fact * factor) : fact * factor);
  }
  return true;
}

/**
 * Bytes [at, end) of a row: y = (bias + residual) + sums of panels, `apart` bytes apart. The start is added last: a y
 * that was written before W was read would have left the near caches.
 */
function addSums(y: usize, bias: usize, residual: usize, sums: usize, apart: usize, at: usize, end: usize): void {
  for (; at < end; at += 16) {
    let start = residual == 0 ? f32x4.splat(0) : v128.load(residual + at);
    if (bias != 0) start = residual == 0 ? v128.load(bias + at) : f32x4.add(v128.load(bias + at), start);
    const sum = f32x4.add(start, v128.load(sums + (at & 63)));
    if (at + 16 <= end) v128.store(y + at, sum);
    else storeTail(y + at, sum, (<i32>(end - at)) >> 2);
    if ((at & 63) == 48) sums += apart;
  }
}
