/** Sizes and places of the panels of a packed matrix (panels.as.ts). */
import {
  ACROSS_BF16,
  ACROSS_F32,
  ACROSS_INT8,
  INT8_GROUP,
  NIBBLE_CENTRED,
  NIBBLE_CENTRED_GROUP,
  NIBBLE_FLOATS_GROUP,
  NIBBLE_HALVES,
  NIBBLE_HALVES_GROUP,
  PANELS_BF16,
  PANELS_F32,
} from "../constants";

/** Bytes of one panel of inner size k. Panels of bfloat16 come in pairs. */
export function panelBytes(kind: i32, k: i32): usize {
  if (kind == PANELS_F32 || kind == ACROSS_F32) return k << 6;
  if (kind == PANELS_BF16 || kind == ACROSS_BF16) return k << 5;
  const groups = (k + 31) >> 5;
  if (kind == ACROSS_INT8) return groups * INT8_GROUP;
  if (kind == NIBBLE_CENTRED) return groups * NIBBLE_CENTRED_GROUP;
  return groups * (kind == NIBBLE_HALVES ? NIBBLE_HALVES_GROUP : NIBBLE_FLOATS_GROUP);
}

/** The address of panel p. Panels of floats have 64 bytes from one k to the next. */
export function panelAt(kind: i32, w: usize, p: i32, k: i32): usize {
  if (kind == PANELS_BF16 || kind == ACROSS_BF16) {
    return w + (((p >> 1) * k) << 6) + ((p & 1) << 5);
  }
  return w + p * panelBytes(kind, k);
}

/** Where the halves of sixteen columns lie: c and c + 8 share a word. */
// @ts-ignore: decorator
@inline export function halfOffset(lane: i32): usize {
  return ((lane & 7) << 2) + ((lane >> 3) << 1);
}

/** Sums of few rows that are kept, in cache lines, before they are written out together. */
export const KEPT_SUMS = 192;
