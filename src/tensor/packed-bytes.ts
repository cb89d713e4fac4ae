/**
 * Bytes of a matrix [rows, columns] that the wasm device has packed: panels of sixteen rows (kernels/products), of
 * bfloat16 two side by side.
 */
import type { PackedDtype } from "./device.js";
import {
  INT8_GROUP,
  NIBBLE_CENTRED_GROUP,
  NIBBLE_FLOATS_GROUP,
  NIBBLE_HALVES_GROUP,
} from "./wasm/kernels/constants.js";

/** Bytes of sixteen rows, and their scales, for every so many columns. */
const PANELS = {
  float32: { columns: 1, bytes: 64 },
  bfloat16: { columns: 1, bytes: 32 },
  int8: { columns: 32, bytes: INT8_GROUP },
  int4: { columns: 32, bytes: NIBBLE_HALVES_GROUP },
  "int4-floats": { columns: 32, bytes: NIBBLE_FLOATS_GROUP },
  "int4-centred": { columns: 32, bytes: NIBBLE_CENTRED_GROUP },
} as const satisfies Record<PackedDtype, object>;

export function packedBytes(rows: number, columns: number, dtype: PackedDtype): number {
  const panel = PANELS[dtype];
  const together = dtype === "bfloat16" ? 2 : 1;
  return Math.ceil(rows / (16 * together)) * together * Math.ceil(columns / panel.columns) * panel.bytes;
}
