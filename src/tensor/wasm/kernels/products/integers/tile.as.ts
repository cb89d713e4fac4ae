/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Products with several rows of x. The rows lie as records: what one dot product takes, the 32 bytes of a narrow group,
 * or h or l of a wide one (activations.as.ts). Rows are quantized in parts. In a part, each group of k has a segment:
 * records of wide groups from its beginning on, h and l side by side, and records of narrow groups from its end down.
 *
 *   part      [where the wide records end, where the narrow records begin: groups x 2 words][segments]
 *   record    [32 bytes][t][t·Σa or z][where the row's sums lie, from the part's first on][unused]
 *
 * Beside int8 in PAIRS, where a dot of bytes takes two multiplications, a wide group is one record of twice the size,
 * [32 int16][t][unused][where the sums lie]: products of int16 take half as many as two dots.
 * So a tile, two records by the sixteen columns of a panel, is one wide group or two narrow ones, and nothing is
 * decided row by row while products are computed; a last narrow group is alone. Eight sums of integers are in
 * registers, those of floats in `sums`. All records of a group of k come before the next group, so that the panel
 * streams from memory meanwhile. The steps of a group are a loop: written out, compilers would reorder them, and run
 * out of registers.
 */
import {
  addBytes,
  addNibbles,
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
import { EXACT, PAIRS, PART } from "../../constants";
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
/** A wide group in int16 takes as much, and its facts lie so many bytes later. */
const WORDS: usize = 32;
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
  const int16 = way == PAIRS && !nibbles;
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
    const to = wide && int16 ? record + WORDS : record;
    quantizeGroup(
      g + 1 < groups ? x + (g << 7) : last,
      size,
      load<f32>(facts + words),
      load<f32>(facts + 2 * words),
      wide,
      nibbles,
      wide && int16,
      record,
      record + RECORD,
      to + SCALE,
      TOTAL - SCALE,
    );
    store<usize>(to, place, PLACE);
    if (wide) store<i32>(record, 64, RECORD + TOTAL);
    facts += 4;
    part += 8;
  }
}

/** Type arguments: weights of eight bits, of four, and of four that become bytes first, which pays for many rows. */
export type Bytes = u8;
export type Nibbles = u16;
export type Unpacked = u32;

/**
 * Rows, quantized in parts at x, with panels `apart` bytes apart that advance together, group by group: sums
 * [panels][rows][16]. `head`: bytes before the weights of a group.
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
  const nibbles = sizeof<Form>() != sizeof<Bytes>();
  const packed = sizeof<Form>() == sizeof<Nibbles>();
  const parts = partsOf(rows);
  const size = partBytes(rows, groups);
  const segment = segmentBytes(rows);
  const partSums = sumsBytes(partRows(rows));
  const ones = v128.load(constants + (packed ? NIBBLE_MASK : ONES));
  clearSums(sums, sums + ((panels * rows) << 6));
  let segments = segmentsAt(x, groups);
  for (; groups > 0; groups--) {
    let p = w;
    for (let i = 0; i < panels; i++) {
      readFacts(nibbles, head, p, facts);
      const unpacked = facts + NIBBLES_AT;
      const q = nibbles && !packed ? unpacked : p + head;
      if (nibbles && !packed) unpackNibbles(p + head, unpacked);
      let table = x;
      let begin = segments;
      let to = sums + ((i * rows) << 6);
      for (let left = parts; left > 0; left--) {
        const wideEnd = load<usize>(table);
        let record = begin;
        if (pairs && !nibbles) {
          for (; record + 2 * RECORD < wideEnd; record += 4 * RECORD) wordTile(true, q, record, facts, to);
          if (record != wideEnd) wordTile(false, q, record, facts, to);
        } else {
          for (; record != wideEnd; record += 2 * RECORD) {
            tile(pairs, nibbles, packed, 2, true, q, record, facts, to, ones);
          }
        }
        record = load<usize>(table, 4);
        const end = begin + segment;
        for (; record + RECORD < end; record += 2 * RECORD) {
          tile(pairs, nibbles, packed, 2, false, q, record, facts, to, ones);
        }
        if (record < end) {
          if (packed) lastNibbles<Pairs>(q, record, facts, to);
          else tile(pairs, nibbles, false, 1, false, q, record, facts, to, ones);
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
  tile(isYes<Pairs>(), true, true, 1, false, w, record, facts, sums, v128.load(constants + NIBBLE_MASK));
}

/** `packed`: w has two nibbles in a byte, for s and t. */
// @ts-ignore: decorator
@inline function step(pairs: bool, nibbles: bool, packed: bool, s: v128, t: v128, w: v128, c: v128, ones: v128): v128 {
  if (packed) return nibbleDots(pairs, s, t, w, ones, c);
  return nibbles ? nibbleDot(pairs, s, w, c) : dot(pairs, w, s, c, ones);
}

/** As `nibbleSums`. Of an addition of neighbours, V8 looks up the constant each time. */
// @ts-ignore: decorator
@inline function ended(pairs: bool, nibbles: bool, c: v128, ones: v128): v128 {
  return nibbles && pairs ? i32x4.dot_i16x8_s(c, ones) : c;
}

/** Adds a group's products with bytes onto the sums of eight columns. */
// @ts-ignore: decorator
@inline function addColumns(to: usize, facts: usize, c0: v128, c1: v128, t: v128): void {
  v128.store(to, addBytes(v128.load(to), c0, v128.load(facts, SCALES), t));
  v128.store(to, addBytes(v128.load(to, 16), c1, v128.load(facts, SCALES + 16), t), 16);
}

/** Adds a group's products onto a row's sums. Offsets are written out, or V8 would compute an address for each. */
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
  if (nibbles) {
    const sum = v128.load32_splat(record, TOTAL);
    v128.store(to, addNibbles(v128.load(to), c0, v128.load(facts, SCALES), v128.load(facts), t, sum));
    v128.store(to, addNibbles(v128.load(to, 16), c1, v128.load(facts, SCALES + 16), v128.load(facts, 16), t, sum), 16);
    v128.store(to, addNibbles(v128.load(to, 32), c2, v128.load(facts, SCALES + 32), v128.load(facts, 32), t, sum), 32);
    v128.store(to, addNibbles(v128.load(to, 48), c3, v128.load(facts, SCALES + 48), v128.load(facts, 48), t, sum), 48);
  } else {
    addColumns(to, facts, c0, c1, t);
    addColumns(to + 32, facts + 32, c2, c3, t);
  }
}

/** 2^s·h + l */
// @ts-ignore: decorator
@inline function joined(nibbles: bool, h: v128, l: v128): v128 {
  return i32x4.add(i32x4.shl(h, nibbles ? 8 : 7), l);
}

// @ts-ignore: decorator
@inline function first(nibbles: bool, facts: usize, z: v128): v128 {
  return nibbles ? i32x4.splat(0) : i32x4.dot_i16x8_s(v128.load(facts), z);
}

/** `records`: 1 or 2. `ones`: of packed nibbles, their mask. */
// @ts-ignore: decorator
@inline function tile(
  pairs: bool,
  nibbles: bool,
  packed: bool,
  records: i32,
  wide: bool,
  w: usize,
  record: usize,
  facts: usize,
  sums: usize,
  ones: v128,
): void {
  const start = nibbles ? ones : v128.load32_splat(record, TOTAL);
  const other = nibbles || records == 1 ? ones : v128.load32_splat(record, RECORD + TOTAL);
  let a0 = first(nibbles, facts, start);
  let a1 = first(nibbles, facts + 16, start);
  let a2 = first(nibbles, facts + 32, start);
  let a3 = first(nibbles, facts + 48, start);
  let b0 = first(nibbles, facts, other);
  let b1 = first(nibbles, facts + 16, other);
  let b2 = first(nibbles, facts + 32, other);
  let b3 = first(nibbles, facts + 48, other);
  let q = w;
  let x = record;
  for (const end = record + 32; x != end; x += 4) {
    const s = v128.load32_splat(x);
    const u = records == 2 ? v128.load32_splat(x, RECORD) : s;
    if (packed) x += 4;
    const t = packed ? v128.load32_splat(x) : s;
    const z = packed && records == 2 ? v128.load32_splat(x, RECORD) : t;
    let v = v128.load(q);
    a0 = step(pairs, nibbles, packed, s, t, v, a0, ones);
    if (records == 2) b0 = step(pairs, nibbles, packed, u, z, v, b0, ones);
    v = v128.load(q, 16);
    a1 = step(pairs, nibbles, packed, s, t, v, a1, ones);
    if (records == 2) b1 = step(pairs, nibbles, packed, u, z, v, b1, ones);
    v = v128.load(q, 32);
    a2 = step(pairs, nibbles, packed, s, t, v, a2, ones);
    if (records == 2) b2 = step(pairs, nibbles, packed, u, z, v, b2, ones);
    v = v128.load(q, 48);
    a3 = step(pairs, nibbles, packed, s, t, v, a3, ones);
    if (records == 2) b3 = step(pairs, nibbles, packed, u, z, v, b3, ones);
    q += 64;
  }
  const units = packed ? v128.load(constants + ONES) : ones;
  a0 = ended(pairs, nibbles, a0, units);
  a1 = ended(pairs, nibbles, a1, units);
  a2 = ended(pairs, nibbles, a2, units);
  a3 = ended(pairs, nibbles, a3, units);
  if (records == 2) b0 = ended(pairs, nibbles, b0, units);
  if (records == 2) b1 = ended(pairs, nibbles, b1, units);
  if (records == 2) b2 = ended(pairs, nibbles, b2, units);
  if (records == 2) b3 = ended(pairs, nibbles, b3, units);
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

// @ts-ignore: decorator
@inline function addWords(record: usize, facts: usize, sums: usize, c0: v128, c1: v128): void {
  const to = sums + load<usize>(record, WORDS + PLACE);
  const t = v128.load32_splat(record, WORDS + SCALE);
  addColumns(to, facts, c0, c1, t);
}

/**
 * Of a group's facts, read once for all records: -Σ q or minimums of sixteen columns, their scales, and nibbles as
 * bytes.
 */
export const FACTS_BYTES: usize = 640;
const SCALES: usize = 64;
const NIBBLES_AT: usize = 128;

/** The facts of a group as float32; -Σ q is in the low halves of int32. */
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
  for (let i: usize = 0; i < 4; i++) {
    const to = facts + (i << 4);
    const from = w + (i << 4);
    if (nibbles) {
      v128.store(to, minimumsAt(head == HALF_HEAD ? HALF_HEAD : FLOAT_HEAD, from, 0, mask, factor));
      v128.store(to, scalesAt(head == HALF_HEAD ? HALF_HEAD : FLOAT_HEAD, from, 0, mask, factor), SCALES);
    } else {
      v128.store(to, v128.load(from));
      v128.store(to, highHalves(v128.load(from), mask, factor), SCALES);
    }
  }
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
