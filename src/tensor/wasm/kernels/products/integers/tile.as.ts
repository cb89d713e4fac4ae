/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products with several rows of x. The rows lie as records: what one dot product takes, the 32 bytes of a narrow group,
 * or h or l of a wide one (activations.as.ts). Rows are quantized in parts. In a part, each group of k has a segment:
 * records of wide groups from its beginning on, h and l side by side, and records of narrow groups from its end down.
 *
 *   part      [where the wide records end, where the narrow records begin: groups x 2 words][segments]
 *   record    [32 bytes][t][t·Σa or z][where the row's sums lie, from the part's first on][unused]
 *
 * So a tile, two records by the sixteen columns of a panel, is one wide group or two narrow ones, and nothing is
 * decided row by row while products are computed; a last narrow group is alone. Eight sums of integers are in
 * registers, those of floats in `sums`. All records of a group of k come before the next group, so that the panel
 * streams from memory meanwhile. The steps of a group are a loop: written out, compilers would reorder them, and run
 * out of registers.
 */
import {
  addBytes,
  addNibbles,
  clearSums,
  constants,
  dot,
  HALF_FACTOR,
  HALF_MASK,
  highHalves,
  highNibbles,
  minimumsAt,
  NIBBLE_MASK,
  nibbleDots,
  nibbleSums,
  ONES,
  scalesAt,
  way,
} from "./dots.as";
import { isYes, storeFour } from "../../simd.as";
import { EXACT, PART } from "../../constants";
import {
  groupsOf,
  integerRowBytes,
  lastGroup,
  measureGroups,
  quantizeGroup,
  quantizeRow,
  WIDE,
} from "./activations.as";

// @ts-ignore: decorator
@inline export function partsOf(rows: i32): i32 {
  return (rows + PART - 1) / PART;
}

/** Of every part but the last. Parts are what threads share, so none is much smaller. */
// @ts-ignore: decorator
@inline export function partRows(rows: i32): i32 {
  const parts = max(1, partsOf(rows));
  return (rows + parts - 1) / parts;
}

const RECORD: usize = 48;
/** Offsets in a record. */
const SCALE: usize = 32;
const TOTAL: usize = 36;
const PLACE: usize = 40;

// @ts-ignore: decorator
@inline export function sumsBytes(rows: i32): usize {
  return rows << 6;
}

/** Of a segment, whose groups may all be wide. */
// @ts-ignore: decorator
@inline function segmentBytes(rows: i32): usize {
  return 2 * partRows(rows) * RECORD;
}

// @ts-ignore: decorator
@inline function segmentsAt(part: usize, groups: i32): usize {
  return part + (((groups << 3) + 15) & ~15);
}

/** Of a part of so many rows; EXACT rows lie as in activations.as.ts. */
export function partBytes(rows: i32, groups: i32): usize {
  return max(segmentsAt(0, groups) + groups * segmentBytes(rows), partRows(rows) * integerRowBytes(groups));
}

/** Of `quantizeParts`: a padded group, and what is known of a row's groups. */
// @ts-ignore: decorator
@inline export function measuringBytes(groups: i32): usize {
  return 128 + groups * 12;
}

export function quantizeParts(
  nibbles: bool,
  x: usize,
  rows: i32,
  k: i32,
  to: usize,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const groups = groupsOf(k);
  const size = partBytes(rows, groups);
  const most = partRows(rows);
  for (let p = begin; p < end; p++) {
    const first = p * most;
    const from = x + ((first * k) << 2);
    const part = to + p * size;
    const count = min(most, rows - first);
    if (way == EXACT) {
      for (let r = 0; r < count; r++) {
        const row = from + ((r * k) << 2);
        quantizeRow(row, k, nibbles, part + r * integerRowBytes(groups), work);
      }
    } else quantizePart(nibbles, from, count, k, part, segmentBytes(rows), work);
  }
}

function quantizePart(nibbles: bool, x: usize, rows: i32, k: i32, part: usize, segment: usize, work: usize): void {
  const groups = groupsOf(k);
  const segments = segmentsAt(part, groups);
  for (let g = 0; g < groups; g++) {
    const at = part + (g << 3);
    store<usize>(at, segments + g * segment);
    store<usize>(at, segments + (g + 1) * segment, 4);
  }
  for (let r = 0; r < rows; r++) {
    recordRow(nibbles, x, k, part, r << 6, work);
    x += k << 2;
  }
}

/** Quantizes a row into the segments of its part. */
function recordRow(nibbles: bool, x: usize, k: i32, part: usize, place: usize, work: usize): void {
  const groups = groupsOf(k);
  const words = groups << 2;
  const last = lastGroup(x, k, work);
  let facts = work + 128;
  const limit = measureGroups(x, last, groups, nibbles, facts, words) * WIDE;
  for (let g = 0; g < groups; g++) {
    const size = load<f32>(facts);
    const wide = <f64>size * <f64>groups > limit;
    let record: usize;
    if (wide) {
      record = load<usize>(part);
      store<usize>(part, record + 2 * RECORD);
    } else {
      record = load<usize>(part, 4) - RECORD;
      store<usize>(part, record, 4);
    }
    quantizeGroup(
      g + 1 < groups ? x + (g << 7) : last,
      size,
      load<f32>(facts + words),
      load<f32>(facts + 2 * words),
      wide,
      nibbles,
      record,
      record + RECORD,
      record + SCALE,
      TOTAL - SCALE,
    );
    store<usize>(record, place, PLACE);
    if (wide) store<i32>(record, 64, RECORD + TOTAL);
    facts += 4;
    part += 8;
  }
}

/**
 * Rows, quantized in parts at x, with panels `apart` bytes apart that advance together, group by group: sums
 * [panels][rows][16]. `head`: bytes before the weights of a group.
 */
export function tileRows<Pairs, Nibbles>(
  head: usize,
  w: usize,
  apart: usize,
  panels: i32,
  x: usize,
  rows: i32,
  groups: i32,
  facts: usize,
  sums: usize,
): void {
  const pairs = isYes<Pairs>();
  const nibbles = isYes<Nibbles>();
  const parts = partsOf(rows);
  const size = partBytes(rows, groups);
  const segment = segmentBytes(rows);
  const partSums = sumsBytes(partRows(rows));
  const ones = v128.load(constants + ONES);
  const low = v128.load(constants + NIBBLE_MASK);
  clearSums(sums, sums + ((panels * rows) << 6));
  let segments = segmentsAt(x, groups);
  for (; groups > 0; groups--) {
    let p = w;
    for (let i = 0; i < panels; i++) {
      readFacts(nibbles, head, p, facts);
      const q = p + head;
      let table = x;
      let begin = segments;
      let to = sums + ((i * rows) << 6);
      for (let left = parts; left > 0; left--) {
        const wideEnd = load<usize>(table);
        let record = begin;
        for (; record != wideEnd; record += 2 * RECORD) {
          tile(pairs, nibbles, 2, true, q, record, facts, to, ones, low);
        }
        record = load<usize>(table, 4);
        const end = begin + segment;
        for (; record + RECORD < end; record += 2 * RECORD) {
          tile(pairs, nibbles, 2, false, q, record, facts, to, ones, low);
        }
        if (record < end) {
          if (nibbles) lastNibbles<Pairs>(q, record, facts, to);
          else tile(pairs, false, 1, false, q, record, facts, to, ones, low);
        }
        table += size;
        begin += size;
        to += partSums;
      }
      p += apart;
    }
    x += 8;
    segments += segment;
    w += head + (nibbles ? 256 : 512);
  }
}

/** Inside `tileRows`, it would take registers from the other tiles. */
function lastNibbles<Pairs>(w: usize, record: usize, facts: usize, sums: usize): void {
  const low = v128.load(constants + NIBBLE_MASK);
  tile(isYes<Pairs>(), true, 1, false, w, record, facts, sums, low, low);
}

// @ts-ignore: decorator
@inline function ended(pairs: bool, nibbles: bool, c: v128): v128 {
  return nibbles ? nibbleSums(pairs, c) : c;
}

// @ts-ignore: decorator
@inline function added(nibbles: bool, sums: v128, c: v128, d: v128, m: v128, t: v128, total: v128): v128 {
  return nibbles ? addNibbles(sums, c, d, m, t, total) : addBytes(sums, c, d, t);
}

// @ts-ignore: decorator
@inline function addRow(
  nibbles: bool,
  record: usize,
  facts: usize,
  sums: usize,
  c0: v128,
  c1: v128,
  c2: v128,
  c3: v128,
): void {
  const to = sums + load<usize>(record, PLACE);
  const t = v128.load32_splat(record, SCALE);
  const total = nibbles ? v128.load32_splat(record, TOTAL) : t;
  c0 = added(nibbles, v128.load(to), c0, v128.load(facts, 64), nibbles ? v128.load(facts) : t, t, total);
  c1 = added(nibbles, v128.load(to, 16), c1, v128.load(facts, 80), nibbles ? v128.load(facts, 16) : t, t, total);
  c2 = added(nibbles, v128.load(to, 32), c2, v128.load(facts, 96), nibbles ? v128.load(facts, 32) : t, t, total);
  c3 = added(nibbles, v128.load(to, 48), c3, v128.load(facts, 112), nibbles ? v128.load(facts, 48) : t, t, total);
  storeFour(to, c0, c1, c2, c3);
}

/** 2^s·h + l */
// @ts-ignore: decorator
@inline function joined(nibbles: bool, h: v128, l: v128): v128 {
  return i32x4.add(i32x4.shl(h, nibbles ? 8 : 7), l);
}

/** `records`: 1 or 2. */
// @ts-ignore: decorator
@inline function tile(
  pairs: bool,
  nibbles: bool,
  records: i32,
  wide: bool,
  w: usize,
  record: usize,
  facts: usize,
  sums: usize,
  ones: v128,
  mask: v128,
): void {
  const start = nibbles ? ones : v128.load32_splat(record, TOTAL);
  const other = nibbles || records == 1 ? ones : v128.load32_splat(record, RECORD + TOTAL);
  let a0 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), start);
  let a1 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), start);
  let a2 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), start);
  let a3 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), start);
  let b0 = nibbles || records == 1 ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), other);
  let b1 = nibbles || records == 1 ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), other);
  let b2 = nibbles || records == 1 ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), other);
  let b3 = nibbles || records == 1 ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), other);
  let q = w;
  let x = record;
  for (const end = record + 32; x != end; x += 4) {
    const s = v128.load32_splat(x);
    const u = records == 2 ? v128.load32_splat(x, RECORD) : s;
    let v: v128;
    if (nibbles) {
      x += 4;
      const t = v128.load32_splat(x);
      const z = records == 2 ? v128.load32_splat(x, RECORD) : t;
      let low: v128;
      v = v128.load(q);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a0 = nibbleDots(pairs, s, low, t, v, a0);
      if (records == 2) b0 = nibbleDots(pairs, u, low, z, v, b0);
      v = v128.load(q, 16);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a1 = nibbleDots(pairs, s, low, t, v, a1);
      if (records == 2) b1 = nibbleDots(pairs, u, low, z, v, b1);
      v = v128.load(q, 32);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a2 = nibbleDots(pairs, s, low, t, v, a2);
      if (records == 2) b2 = nibbleDots(pairs, u, low, z, v, b2);
      v = v128.load(q, 48);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a3 = nibbleDots(pairs, s, low, t, v, a3);
      if (records == 2) b3 = nibbleDots(pairs, u, low, z, v, b3);
    } else {
      v = v128.load(q);
      a0 = dot(pairs, v, s, a0, ones);
      if (records == 2) b0 = dot(pairs, v, u, b0, ones);
      v = v128.load(q, 16);
      a1 = dot(pairs, v, s, a1, ones);
      if (records == 2) b1 = dot(pairs, v, u, b1, ones);
      v = v128.load(q, 32);
      a2 = dot(pairs, v, s, a2, ones);
      if (records == 2) b2 = dot(pairs, v, u, b2, ones);
      v = v128.load(q, 48);
      a3 = dot(pairs, v, s, a3, ones);
      if (records == 2) b3 = dot(pairs, v, u, b3, ones);
    }
    q += 64;
  }
  a0 = ended(pairs, nibbles, a0);
  a1 = ended(pairs, nibbles, a1);
  a2 = ended(pairs, nibbles, a2);
  a3 = ended(pairs, nibbles, a3);
  if (records == 2) b0 = ended(pairs, nibbles, b0);
  if (records == 2) b1 = ended(pairs, nibbles, b1);
  if (records == 2) b2 = ended(pairs, nibbles, b2);
  if (records == 2) b3 = ended(pairs, nibbles, b3);
  if (wide) {
    const c0 = joined(nibbles, a0, b0);
    const c1 = joined(nibbles, a1, b1);
    const c2 = joined(nibbles, a2, b2);
    addRow(nibbles, record, facts, sums, c0, c1, c2, joined(nibbles, a3, b3));
  } else {
    addRow(nibbles, record, facts, sums, a0, a1, a2, a3);
    if (records == 2) addRow(nibbles, record + RECORD, facts, sums, b0, b1, b2, b3);
  }
}

/** Of a group's facts, read once for all records: -Σ q or minimums of sixteen columns, and their scales. */
export const FACTS_BYTES: usize = 128;
const SCALES: usize = 64;

/** The facts of a group as float32; -Σ q is in the low halves of int32. */
// @ts-ignore: decorator
@inline function readFacts(nibbles: bool, head: usize, w: usize, facts: usize): void {
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  for (let i: usize = 0; i < 4; i++) {
    const to = facts + (i << 4);
    const from = w + (i << 4);
    if (nibbles) {
      v128.store(to, minimumsAt(head, from, mask, factor));
      v128.store(to, scalesAt(head, from, mask, factor), SCALES);
    } else {
      v128.store(to, v128.load(from));
      v128.store(to, highHalves(v128.load(from), mask, factor), SCALES);
    }
  }
}
