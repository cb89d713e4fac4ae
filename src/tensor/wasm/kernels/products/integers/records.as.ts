/**
 * Naive loop: quantizeRow in src/tensor/reference/integer-products.ts, equal bit for bit.
 * Several rows of x as integers, in the order in which tiles take them (tile.as.ts). A record is what one dot product
 * takes: the 32 bytes of a narrow group, or h or l of a wide one (activations.as.ts). Rows are quantized in parts. In a
 * part, each group of k has a segment: records of wide groups from its beginning on, h and l side by side, and records
 * of narrow groups from its end down. So a tile of two records is one wide group or two narrow ones, and nothing is
 * decided row by row while products are computed.
 *
 *   part      [where the wide records end, where the narrow records begin: groups x 2 words][segments]
 *   record    [32 bytes][t][t·Σa or z][where the row's sums lie, from the part's first on][unused]
 */
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
import { way } from "./dots.as";

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

export const RECORD: usize = 48;
/** Offsets in a record. */
export const SCALE: usize = 32;
export const TOTAL: usize = 36;
export const PLACE: usize = 40;

// @ts-ignore: decorator
@inline export function sumsBytes(rows: i32): usize {
  return rows << 6;
}

/** Of a segment, whose groups may all be wide. */
// @ts-ignore: decorator
@inline export function segmentBytes(rows: i32): usize {
  return 2 * partRows(rows) * RECORD;
}

// @ts-ignore: decorator
@inline export function segmentsAt(part: usize, groups: i32): usize {
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
    addRow(nibbles, x, k, part, r << 6, work);
    x += k << 2;
  }
}

/** Quantizes a row into the segments of its part. */
function addRow(nibbles: bool, x: usize, k: i32, part: usize, place: usize, work: usize): void {
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
