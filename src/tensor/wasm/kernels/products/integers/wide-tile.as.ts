/**
 * Tiles of four records by the sixteen columns of a panel, for engines that compute two vectors at once
 * (`setWide`): then sixteen sums fit the registers, and eight pairs of them keep the units busy. Elsewhere they would
 * not fit. As tile.as.ts in all else.
 */
import { constants, dot, highNibbles, NIBBLE_MASK, nibbleDot, ONES, readFacts } from "./dots.as";
import { partBytes, partRows, partsOf, RECORD, segmentBytes, segmentsAt, sumsBytes, TOTAL } from "./records.as";
import { addRow, ended, joined, lastNibbles, tile } from "./tile.as";

/** As `byteDots` and its like. */
export function wideByteDots(
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
  together(false, false, head, w, apart, panels, x, rows, groups, facts, sums);
}
export function wideBytePairs(
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
  together(true, false, head, w, apart, panels, x, rows, groups, facts, sums);
}
export function wideNibbleDots(
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
  together(false, true, head, w, apart, panels, x, rows, groups, facts, sums);
}
export function wideNibblePairs(
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
  together(true, true, head, w, apart, panels, x, rows, groups, facts, sums);
}

// @ts-ignore: decorator
@inline function together(
  pairs: bool,
  nibbles: bool,
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
  const parts = partsOf(rows);
  const size = partBytes(rows, groups);
  const segment = segmentBytes(rows);
  const partSums = sumsBytes(partRows(rows));
  const ones = v128.load(constants + ONES);
  const mask = v128.load(constants + NIBBLE_MASK);
  memory.fill(sums, 0, (<usize>(panels * rows)) << 6);
  let segments = segmentsAt(x, groups);
  for (; groups > 0; groups--) {
    let p = w;
    for (let i = 0; i < panels; i++) {
      readFacts(nibbles, head, p, facts);
      const q = p + head;
      let table = x;
      let begin = segments;
      let to = sums + ((<usize>(i * rows)) << 6);
      for (let left = parts; left > 0; left--) {
        const wideEnd = load<usize>(table);
        let record = begin;
        for (; record + 2 * RECORD < wideEnd; record += 4 * RECORD)
          tile4(pairs, nibbles, true, q, record, facts, to, ones, mask);
        if (record < wideEnd) tile(pairs, nibbles, 2, true, q, record, facts, to, ones, mask);
        const end = begin + segment;
        record = load<usize>(table, 4);
        for (; record + 3 * RECORD < end; record += 4 * RECORD)
          tile4(pairs, nibbles, false, q, record, facts, to, ones, mask);
        if (record + RECORD < end) {
          tile(pairs, nibbles, 2, false, q, record, facts, to, ones, mask);
          record += 2 * RECORD;
        }
        if (record < end) {
          if (nibbles) lastNibbles(pairs, q, record, facts, to);
          else tile(pairs, false, 1, false, q, record, facts, to, ones, mask);
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

// @ts-ignore: decorator
@inline function tile4(
  pairs: bool,
  nibbles: bool,
  wide: bool,
  w: usize,
  record: usize,
  facts: usize,
  sums: usize,
  ones: v128,
  mask: v128,
): void {
  let s = nibbles ? mask : v128.load32_splat(record, TOTAL);
  let a0 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), s);
  let a1 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), s);
  let a2 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), s);
  let a3 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), s);
  s = nibbles ? mask : v128.load32_splat(record, RECORD + TOTAL);
  let b0 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), s);
  let b1 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), s);
  let b2 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), s);
  let b3 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), s);
  s = nibbles ? mask : v128.load32_splat(record, 2 * RECORD + TOTAL);
  let c0 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), s);
  let c1 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), s);
  let c2 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), s);
  let c3 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), s);
  s = nibbles ? mask : v128.load32_splat(record, 3 * RECORD + TOTAL);
  let d0 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), s);
  let d1 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 16), s);
  let d2 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 32), s);
  let d3 = nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts, 48), s);
  let q = w;
  let x = record;
  for (const end = record + 32; x != end; x += 4) {
    let v0 = v128.load(q);
    let v1 = v128.load(q, 16);
    let v2 = v128.load(q, 32);
    let v3 = v128.load(q, 48);
    if (nibbles) {
      const l0 = v128.and(v0, mask);
      const l1 = v128.and(v1, mask);
      const l2 = v128.and(v2, mask);
      const l3 = v128.and(v3, mask);
      s = v128.load32_splat(x);
      a0 = nibbleDot(pairs, s, l0, a0);
      a1 = nibbleDot(pairs, s, l1, a1);
      a2 = nibbleDot(pairs, s, l2, a2);
      a3 = nibbleDot(pairs, s, l3, a3);
      s = v128.load32_splat(x, RECORD);
      b0 = nibbleDot(pairs, s, l0, b0);
      b1 = nibbleDot(pairs, s, l1, b1);
      b2 = nibbleDot(pairs, s, l2, b2);
      b3 = nibbleDot(pairs, s, l3, b3);
      s = v128.load32_splat(x, 2 * RECORD);
      c0 = nibbleDot(pairs, s, l0, c0);
      c1 = nibbleDot(pairs, s, l1, c1);
      c2 = nibbleDot(pairs, s, l2, c2);
      c3 = nibbleDot(pairs, s, l3, c3);
      s = v128.load32_splat(x, 3 * RECORD);
      d0 = nibbleDot(pairs, s, l0, d0);
      d1 = nibbleDot(pairs, s, l1, d1);
      d2 = nibbleDot(pairs, s, l2, d2);
      d3 = nibbleDot(pairs, s, l3, d3);
      x += 4;
      v0 = highNibbles(v0, mask);
      v1 = highNibbles(v1, mask);
      v2 = highNibbles(v2, mask);
      v3 = highNibbles(v3, mask);
      s = v128.load32_splat(x);
      a0 = nibbleDot(pairs, s, v0, a0);
      a1 = nibbleDot(pairs, s, v1, a1);
      a2 = nibbleDot(pairs, s, v2, a2);
      a3 = nibbleDot(pairs, s, v3, a3);
      s = v128.load32_splat(x, RECORD);
      b0 = nibbleDot(pairs, s, v0, b0);
      b1 = nibbleDot(pairs, s, v1, b1);
      b2 = nibbleDot(pairs, s, v2, b2);
      b3 = nibbleDot(pairs, s, v3, b3);
      s = v128.load32_splat(x, 2 * RECORD);
      c0 = nibbleDot(pairs, s, v0, c0);
      c1 = nibbleDot(pairs, s, v1, c1);
      c2 = nibbleDot(pairs, s, v2, c2);
      c3 = nibbleDot(pairs, s, v3, c3);
      s = v128.load32_splat(x, 3 * RECORD);
      d0 = nibbleDot(pairs, s, v0, d0);
      d1 = nibbleDot(pairs, s, v1, d1);
      d2 = nibbleDot(pairs, s, v2, d2);
      d3 = nibbleDot(pairs, s, v3, d3);
    } else {
      s = v128.load32_splat(x);
      a0 = dot(pairs, v0, s, a0, ones);
      a1 = dot(pairs, v1, s, a1, ones);
      a2 = dot(pairs, v2, s, a2, ones);
      a3 = dot(pairs, v3, s, a3, ones);
      s = v128.load32_splat(x, RECORD);
      b0 = dot(pairs, v0, s, b0, ones);
      b1 = dot(pairs, v1, s, b1, ones);
      b2 = dot(pairs, v2, s, b2, ones);
      b3 = dot(pairs, v3, s, b3, ones);
      s = v128.load32_splat(x, 2 * RECORD);
      c0 = dot(pairs, v0, s, c0, ones);
      c1 = dot(pairs, v1, s, c1, ones);
      c2 = dot(pairs, v2, s, c2, ones);
      c3 = dot(pairs, v3, s, c3, ones);
      s = v128.load32_splat(x, 3 * RECORD);
      d0 = dot(pairs, v0, s, d0, ones);
      d1 = dot(pairs, v1, s, d1, ones);
      d2 = dot(pairs, v2, s, d2, ones);
      d3 = dot(pairs, v3, s, d3, ones);
    }
    q += 64;
  }
  a0 = ended(pairs, nibbles, a0);
  a1 = ended(pairs, nibbles, a1);
  a2 = ended(pairs, nibbles, a2);
  a3 = ended(pairs, nibbles, a3);
  b0 = ended(pairs, nibbles, b0);
  b1 = ended(pairs, nibbles, b1);
  b2 = ended(pairs, nibbles, b2);
  b3 = ended(pairs, nibbles, b3);
  c0 = ended(pairs, nibbles, c0);
  c1 = ended(pairs, nibbles, c1);
  c2 = ended(pairs, nibbles, c2);
  c3 = ended(pairs, nibbles, c3);
  d0 = ended(pairs, nibbles, d0);
  d1 = ended(pairs, nibbles, d1);
  d2 = ended(pairs, nibbles, d2);
  d3 = ended(pairs, nibbles, d3);
  if (wide) {
    a0 = joined(nibbles, a0, b0);
    a1 = joined(nibbles, a1, b1);
    a2 = joined(nibbles, a2, b2);
    a3 = joined(nibbles, a3, b3);
    addRow(nibbles, record, facts, sums, a0, a1, a2, a3);
    c0 = joined(nibbles, c0, d0);
    c1 = joined(nibbles, c1, d1);
    c2 = joined(nibbles, c2, d2);
    c3 = joined(nibbles, c3, d3);
    addRow(nibbles, record + 2 * RECORD, facts, sums, c0, c1, c2, c3);
  } else {
    addRow(nibbles, record, facts, sums, a0, a1, a2, a3);
    addRow(nibbles, record + RECORD, facts, sums, b0, b1, b2, b3);
    addRow(nibbles, record + 2 * RECORD, facts, sums, c0, c1, c2, c3);
    addRow(nibbles, record + 3 * RECORD, facts, sums, d0, d1, d2, d3);
  }
}
