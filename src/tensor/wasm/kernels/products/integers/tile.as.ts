/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Tiles of two records (records.as.ts) by the sixteen columns of a panel: two narrow groups of x, or both halves of a
 * wide one; a last narrow group is alone. Eight sums of integers are in registers, those of floats in `sums`. All
 * records of a group of k come before the next group, so that the panel streams from memory meanwhile. The steps of a
 * group are a loop: written out, compilers would reorder them, and run out of registers.
 */
import {
  addBytes,
  addNibbles,
  constants,
  dot,
  highNibbles,
  NIBBLE_MASK,
  nibbleDot,
  nibbleSums,
  ONES,
  readFacts,
} from "./dots.as";
import { isYes } from "../../simd.as";
import {
  partBytes,
  partRows,
  partsOf,
  PLACE,
  RECORD,
  SCALE,
  segmentBytes,
  segmentsAt,
  sumsBytes,
  TOTAL,
} from "./records.as";

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
  memory.fill(sums, 0, (panels * rows) << 6);
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
  v128.store(to, c0);
  v128.store(to, c1, 16);
  v128.store(to, c2, 32);
  v128.store(to, c3, 48);
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
      a0 = nibbleDot(pairs, t, v, nibbleDot(pairs, s, low, a0));
      if (records == 2) b0 = nibbleDot(pairs, z, v, nibbleDot(pairs, u, low, b0));
      v = v128.load(q, 16);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a1 = nibbleDot(pairs, t, v, nibbleDot(pairs, s, low, a1));
      if (records == 2) b1 = nibbleDot(pairs, z, v, nibbleDot(pairs, u, low, b1));
      v = v128.load(q, 32);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a2 = nibbleDot(pairs, t, v, nibbleDot(pairs, s, low, a2));
      if (records == 2) b2 = nibbleDot(pairs, z, v, nibbleDot(pairs, u, low, b2));
      v = v128.load(q, 48);
      low = v128.and(v, mask);
      v = highNibbles(v, mask);
      a3 = nibbleDot(pairs, t, v, nibbleDot(pairs, s, low, a3));
      if (records == 2) b3 = nibbleDot(pairs, z, v, nibbleDot(pairs, u, low, b3));
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
