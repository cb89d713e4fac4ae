/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products with several rows of x. The rows lie as records: what one dot product takes, the 32 bytes of a narrow group,
 * or h or l of a wide one (activations.as.ts). In each group of k, records of wide groups, h and l side by side, come
 * before those of narrow groups. There are no gaps: every panel reads all records again, from the first-level cache.
 *
 *   rows      [where the wide records end, where the narrow records end: groups x 2 words][records]
 *   record    [32 bytes][t][t·Σa or z][where the row's sums lie, from the first row's on][unused]
 *
 * Beside int8 in PAIRS, where a dot of bytes takes two multiplications, a wide group is one record of twice the size,
 * [32 int16][t][unused][where the sums lie]: products of int16 take half as many as two dots. If a group is wide in
 * more than three rows, its weights are extended to int16 once for all.
 * So a tile, two records by the sixteen columns of a panel, is one wide group or two narrow ones, and nothing is
 * decided row by row while products are computed; a last narrow group is alone. Eight sums of integers are in
 * registers, those of floats in `sums`. All records of a group of k come before the next group, so that the panel
 * streams from memory meanwhile. The steps of a group are a loop: written out, compilers would reorder them, and run
 * out of registers.
 */
import {
  addBytes,
  addNibbles,
  BYTES_HEAD,
  CENTRED_HEAD,
  clearSums,
  constants,
  dot,
  dotPair,
  FLOAT_HEAD,
  HALF_FACTOR,
  HALF_HEAD,
  HALF_MASK,
  highHalves,
  highNibbles,
  joinPairs,
  minimumsAt,
  NIBBLE_MASK,
  nibbleDot,
  nibbleDots,
  ONES,
  scalesAt,
  way,
} from "./dots.as";
import { isYes } from "../../simd.as";
import { EXACT, NIBBLE_HALVES, PAIRS } from "../../constants";
import {
  groupsOf,
  integerRowBytes,
  isWide,
  lastGroup,
  measureGroups,
  quantizeGroup,
  quantizeRow,
} from "./activations.as";

const RECORD: usize = 48;
/** Of the records of wide groups, if few. */
const FEW_WIDE: usize = 6 * RECORD;
/** A wide group in int16 takes as much, and its facts lie so many bytes later. */
const WORDS: usize = 32;
/** Offsets in a record. */
const SCALE: usize = 32;
const TOTAL: usize = 36;
const PLACE: usize = 40;

/** EXACT rows lie as in activations.as.ts. */
export function quantizedBytes(rows: i32, k: i32): usize {
  const groups = groupsOf(k);
  return max(recordsAt(0, groups) + groups * rows * 2 * RECORD, rows * integerRowBytes(groups));
}

// @ts-ignore: decorator
@inline function recordsAt(x: usize, groups: i32): usize {
  return x + (((groups << 3) + 15) & ~15);
}

/** Of `quantizeIntegers`: a padded group, and three words of each group. */
// @ts-ignore: decorator
@inline export function measuringBytes(rows: i32, groups: i32): usize {
  return 128 + rows * groups * 12;
}

export function quantizeIntegers(kind: i32, x: usize, to: usize, rows: i32, k: i32, work: usize): void {
  const nibbles = kind >= NIBBLE_HALVES;
  const groups = groupsOf(k);
  const words = groups << 2;
  const row: usize = k << 2;
  const tableEnd = to + 2 * words;
  let facts = work + 128;
  memory.fill(to, 0, 2 * words);
  for (let r = 0; r < rows; r++) {
    const from = x + r * row;
    if (way == EXACT) {
      quantizeRow(from, k, nibbles, to + r * integerRowBytes(groups), work);
      continue;
    }
    measureGroups(from, lastGroup(from, k, work), groups, nibbles, facts, words);
    for (let table = to; table != tableEnd; table += 8) {
      const cursor = cursorOf(table, facts);
      store<usize>(cursor, load<usize>(cursor) + recordBytes(facts));
      facts += 4;
    }
    facts += 2 * words;
  }
  if (way == EXACT) return;
  let at = recordsAt(to, groups);
  for (let table = to; table != tableEnd; table += 8) {
    const wide = load<usize>(table);
    store<usize>(table, at);
    at += wide;
    const narrow = load<usize>(table, 4);
    store<usize>(table, at, 4);
    at += narrow;
  }
  for (let r = 0; r < rows; r++) recordRow(nibbles, x + r * row, k, to, r << 6, work, work + 128 + 3 * r * words);
}

/** The word of the table that says where the group's next record lies. */
// @ts-ignore: decorator
@inline function cursorOf(table: usize, facts: usize): usize {
  return isWide(facts) ? table : table + 4;
}

// @ts-ignore: decorator
@inline function recordBytes(facts: usize): usize {
  return isWide(facts) ? 2 * RECORD : RECORD;
}

/** Quantizes a row, measured, into records. */
function recordRow(nibbles: bool, x: usize, k: i32, table: usize, place: usize, work: usize, facts: usize): void {
  const groups = groupsOf(k);
  const words = groups << 2;
  const last = lastGroup(x, k, work);
  for (let g = 0; g < groups; g++) {
    const wide = isWide(facts);
    const int16 = wide && way == PAIRS && !nibbles;
    const cursor = cursorOf(table, facts);
    const record = load<usize>(cursor);
    store<usize>(cursor, record + recordBytes(facts));
    const to = int16 ? record + WORDS : record;
    const from = g + 1 < groups ? x + (g << 7) : last;
    quantizeGroup(from, facts, words, nibbles, int16, record, record + RECORD, to + SCALE, TOTAL - SCALE);
    store<usize>(to, place, PLACE);
    if (wide) store<i32>(record, 64, RECORD + TOTAL);
    facts += 4;
    table += 8;
  }
}

/** Type arguments: weights of eight bits, of four, and of four that become bytes first, which pays for many rows. */
export type Bytes = u8;
export type Nibbles = u16;
export type Unpacked = u32;
/** Beside them, bytes of wide groups as int16. */
const EXTENDED: usize = 0;
/** In place of one record or two: both parts of a wide group. */
const PARTS = 3;

/**
 * Groups that are read at one place before the next has its turn. With one, V8's unrolled steps make distances between
 * places look like strides, and Zen 5 fetches what nobody reads.
 */
const TURN = 4;

/**
 * Rows, quantized at x, with panels `apart` bytes apart that advance together, in turns: sums [panels][rows][16].
 * `head`: bytes before the weights of a group.
 */
export function tileRows<Pairs, Form>(
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
  const form = sizeof<Form>();
  const nibbles = form != sizeof<Bytes>();
  const packed = form == sizeof<Nibbles>();
  const group = head + (nibbles ? 256 : 512);
  const step: usize = rows << 6;
  const sumsEnd = sums + panels * step;
  const ones = v128.load(constants + (packed ? NIBBLE_MASK : ONES));
  clearSums(sums, sumsEnd);
  let begin = recordsAt(x, groups);
  for (const tableEnd = x + (groups << 3); x < tableEnd; x += TURN << 3) {
    const last = min(tableEnd, x + (TURN << 3));
    let place = w;
    for (let to = sums; to != sumsEnd; to += step) {
      let record = begin;
      let p = place;
      for (let table = x; table != last; table += 8) {
        const wideEnd = load<usize>(table);
        const end = load<usize>(table, 4);
        readFacts(nibbles, head, p, facts);
        const wider = facts + WIDER_AT;
        const q = nibbles && !packed ? wider : p + head;
        if (nibbles && !packed) unpackNibbles(p + head, wider);
        if (pairs && !nibbles && wideEnd - record > FEW_WIDE) {
          extendBytes(q, wider);
          for (; record + 2 * RECORD < wideEnd; record += 4 * RECORD) {
            tile(true, EXTENDED, 2, wider, record, facts, to, ones);
          }
          if (record != wideEnd) tile(true, EXTENDED, 1, wider, record, facts, to, ones);
        } else if (pairs && !nibbles) {
          for (; record + 2 * RECORD < wideEnd; record += 4 * RECORD) wordTile(true, q, record, facts, to);
          if (record != wideEnd) wordTile(false, q, record, facts, to);
        } else {
          for (; record != wideEnd; record += 2 * RECORD) tile(pairs, form, PARTS, q, record, facts, to, ones);
        }
        record = wideEnd;
        for (; record + RECORD < end; record += 2 * RECORD) tile(pairs, form, 2, q, record, facts, to, ones);
        if (record < end) tile(pairs, form, 1, q, record, facts, to, ones);
        record = end;
        p += group;
      }
      place += apart;
    }
    begin = load<usize>(last - 4);
    w += TURN * group;
  }
}

/** t: of the high halves of packed nibbles. */
// @ts-ignore: decorator
@inline function step(pairs: bool, form: usize, s: v128, t: v128, w: v128, c: v128, ones: v128): v128 {
  if (form == EXTENDED) return dotPair(w, s, c);
  if (form == sizeof<Nibbles>()) return nibbleDots(pairs, s, t, w, ones, c);
  return form == sizeof<Unpacked>() ? nibbleDot(pairs, s, w, c) : dot(pairs, w, s, c, ones);
}

/** As `nibbleSums`. Of an addition of neighbours, V8 looks up the constant each time. */
// @ts-ignore: decorator
@inline function ended(pairs: bool, nibbles: bool, c: v128, ones: v128): v128 {
  return nibbles && pairs ? i32x4.dot_i16x8_s(c, ones) : c;
}

/** Sums + a group's products of four columns. */
// @ts-ignore: decorator
@inline function added(nibbles: bool, sums: usize, facts: usize, products: v128, t: v128, total: v128): v128 {
  const d = v128.load(facts, SCALES);
  return nibbles
    ? addNibbles(v128.load(sums), products, d, v128.load(facts), t, total)
    : addBytes(v128.load(sums), products, d, t);
}

/** Adds a group's products onto the sums of a row. Where V8 joins vectors, it begins with stores side by side. */
// @ts-ignore: decorator
@inline function addRow(
  nibbles: bool,
  to: usize,
  facts: usize,
  p0: v128,
  p1: v128,
  p2: v128,
  p3: v128,
  t: v128,
  total: v128,
): void {
  p0 = added(nibbles, to, facts, p0, t, total);
  p1 = added(nibbles, to + 16, facts + 16, p1, t, total);
  v128.store(to, p0);
  v128.store(to, p1, 16);
  p2 = added(nibbles, to + 32, facts + 32, p2, t, total);
  p3 = added(nibbles, to + 48, facts + 48, p3, t, total);
  v128.store(to, p2, 32);
  v128.store(to, p3, 48);
}

/** 2^s·h + l */
// @ts-ignore: decorator
@inline function joined(nibbles: bool, h: v128, l: v128): v128 {
  return i32x4.add(i32x4.shl(h, nibbles ? 8 : 7), l);
}

// @ts-ignore: decorator
@inline function first(zero: bool, w: usize, z: v128): v128 {
  return zero ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(w - BYTES_HEAD), z);
}

/** `records`: 1 or 2. `ones`: of packed nibbles, their mask. */
// @ts-ignore: decorator
@inline function tile(
  pairs: bool,
  form: usize,
  records: i32,
  w: usize,
  record: usize,
  facts: usize,
  sums: usize,
  ones: v128,
): void {
  const words = form == EXTENDED;
  const packed = form == sizeof<Nibbles>();
  const nibbles = packed || form == sizeof<Unpacked>();
  const both = records != 1;
  const start = nibbles || words ? ones : v128.load32_splat(record, TOTAL);
  const other = nibbles || words || !both ? ones : v128.load32_splat(record, RECORD + TOTAL);
  let a0 = first(nibbles || words, w, start);
  let a1 = first(nibbles || words, w + 16, start);
  let a2 = first(nibbles || words, w + 32, start);
  let a3 = first(nibbles || words, w + 48, start);
  let b0 = first(nibbles || words, w, other);
  let b1 = first(nibbles || words, w + 16, other);
  let b2 = first(nibbles || words, w + 32, other);
  let b3 = first(nibbles || words, w + 48, other);
  let q = w;
  let x = record;
  for (const end = record + (words ? 64 : 32); x != end; x += 4) {
    const s = v128.load32_splat(x);
    const u = words ? v128.load32_splat(x, 2 * RECORD) : both ? v128.load32_splat(x, RECORD) : s;
    if (packed) x += 4;
    const t = packed ? v128.load32_splat(x) : s;
    const z = packed && both ? v128.load32_splat(x, RECORD) : t;
    let v = v128.load(q);
    a0 = step(pairs, form, s, t, v, a0, ones);
    if (both) b0 = step(pairs, form, u, z, v, b0, ones);
    v = v128.load(q, 16);
    a1 = step(pairs, form, s, t, v, a1, ones);
    if (both) b1 = step(pairs, form, u, z, v, b1, ones);
    v = v128.load(q, 32);
    a2 = step(pairs, form, s, t, v, a2, ones);
    if (both) b2 = step(pairs, form, u, z, v, b2, ones);
    v = v128.load(q, 48);
    a3 = step(pairs, form, s, t, v, a3, ones);
    if (both) b3 = step(pairs, form, u, z, v, b3, ones);
    q += 64;
  }
  const units = packed ? v128.load(constants + ONES) : ones;
  a0 = ended(pairs, nibbles, a0, units);
  a1 = ended(pairs, nibbles, a1, units);
  a2 = ended(pairs, nibbles, a2, units);
  a3 = ended(pairs, nibbles, a3, units);
  if (both) b0 = ended(pairs, nibbles, b0, units);
  if (both) b1 = ended(pairs, nibbles, b1, units);
  if (both) b2 = ended(pairs, nibbles, b2, units);
  if (both) b3 = ended(pairs, nibbles, b3, units);
  if (records == PARTS) {
    a0 = joined(nibbles, a0, b0);
    a1 = joined(nibbles, a1, b1);
    a2 = joined(nibbles, a2, b2);
    a3 = joined(nibbles, a3, b3);
  }
  const two = records == 2;
  const own = words ? record + WORDS : record;
  const next = own + (words ? 2 * RECORD : RECORD);
  const to = sums + load<usize>(own, PLACE);
  const into = two ? sums + load<usize>(next, PLACE) : to;
  const s = v128.load32_splat(own, SCALE);
  const t = nibbles ? v128.load32_splat(own, TOTAL) : s;
  const u = two ? v128.load32_splat(next, SCALE) : s;
  const v = two && nibbles ? v128.load32_splat(next, TOTAL) : u;
  addRow(nibbles, to, facts, a0, a1, a2, a3, s, t);
  if (two) addRow(nibbles, into, facts, b0, b1, b2, b3, u, v);
}

/**
 * Wide groups of one or two rows in int16, by eight columns at a time: weights are extended once for both. Sums have
 * two lanes per column.
 */
// @ts-ignore: decorator
@inline function wordTile(two: bool, w: usize, record: usize, facts: usize, sums: usize): void {
  for (let c: usize = 0; c < 64; c += 32) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    let q = w + c;
    let x = record;
    for (const end = record + 64; x != end; x += 8) {
      const s = v128.load64_splat(x);
      const u = two ? v128.load64_splat(x, 2 * RECORD) : s;
      let v = v128.load_ext<i8>(q);
      a0 = dotPair(v, s, a0);
      if (two) b0 = dotPair(v, u, b0);
      v = v128.load_ext<i8>(q, 8);
      a1 = dotPair(v, s, a1);
      if (two) b1 = dotPair(v, u, b1);
      v = v128.load_ext<i8>(q, 16);
      a2 = dotPair(v, s, a2);
      if (two) b2 = dotPair(v, u, b2);
      v = v128.load_ext<i8>(q, 24);
      a3 = dotPair(v, s, a3);
      if (two) b3 = dotPair(v, u, b3);
      q += 64;
    }
    addWords(record, facts + c, sums + c, joinPairs(a0, a1), joinPairs(a2, a3));
    if (two) addWords(record + 2 * RECORD, facts + c, sums + c, joinPairs(b0, b1), joinPairs(b2, b3));
  }
}

/** Adds a group's products with bytes onto the sums of eight columns. */
// @ts-ignore: decorator
@inline function addWords(record: usize, facts: usize, sums: usize, c0: v128, c1: v128): void {
  const to = sums + load<usize>(record, WORDS + PLACE);
  const t = v128.load32_splat(record, WORDS + SCALE);
  v128.store(to, addBytes(v128.load(to), c0, v128.load(facts, SCALES), t));
  v128.store(to, addBytes(v128.load(to, 16), c1, v128.load(facts, SCALES + 16), t), 16);
}

/**
 * Of a group's facts, read once for all records: minimums of nibbles in sixteen columns, scales, and nibbles as bytes,
 * or bytes as int16.
 */
export const FACTS_BYTES: usize = 1152;
const SCALES: usize = 64;
const WIDER_AT: usize = 128;

/** The facts of a group as float32. */
// @ts-ignore: decorator
@inline function readFacts(nibbles: bool, head: usize, w: usize, facts: usize): void {
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  if (nibbles && head == CENTRED_HEAD) {
    for (let i: usize = 0; i < 64; i += 16) {
      const d = scalesAt(CENTRED_HEAD, w, i, mask, factor);
      v128.store(facts + i, f32x4.mul(d, f32x4.splat(-8)));
      v128.store(facts + i, d, SCALES);
    }
    return;
  }
  if (nibbles) {
    for (let i: usize = 0; i < 64; i += 16) {
      v128.store(facts + i, minimumsAt(head == HALF_HEAD ? HALF_HEAD : FLOAT_HEAD, w + i, 0, mask, factor));
      v128.store(facts + i, scalesAt(head == HALF_HEAD ? HALF_HEAD : FLOAT_HEAD, w + i, 0, mask, factor), SCALES);
    }
    return;
  }
  for (let i: usize = 0; i < 64; i += 16) v128.store(facts + i, highHalves(v128.load(w + i), mask, factor), SCALES);
}

/** A group of sixteen columns, as bytes in the order of int8. */
function unpackNibbles(w: usize, to: usize): void {
  const low = v128.load(constants + NIBBLE_MASK);
  for (let i: usize = 0; i < 256; i += 16) {
    const v = v128.load(w + i);
    const at = to + i + (i & -64);
    v128.store(at, v128.and(v, low));
    v128.store(at, highNibbles(v, low), 64);
  }
}

/** A group of sixteen columns as int16: two successive k of four columns in a vector, k after k. */
function extendBytes(w: usize, to: usize): void {
  for (let i: usize = 0; i < 512; i += 16) {
    const low = v128.load_ext<i8>(w + i);
    const high = v128.load_ext<i8>(w + i, 8);
    const at = to + i + (i & -64);
    v128.store(at, i8x16.shuffle(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27));
    v128.store(at, i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31), 64);
  }
}
