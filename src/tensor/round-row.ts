/**
 * Rounds rows of a weight matrix to the precision in which they are stored, for every device that does so on the host.
 */
import type { PackedDtype } from "./device.js";
import { bf16ToFloat32, float32ToBf16 } from "./formats/index.js";
import { integerValues, roundToInt4 } from "./integer-rows.js";

/**
 * Returns the values of a row stored as `dtype`: bfloat16 rounds to nearest even, int8 has one symmetric scale per row,
 * int4 a scale and a minimum per group of 32. The dtypes of files hold values as they are.
 */
export function roundRow(row: Float32Array, dtype: PackedDtype): Float32Array {
  switch (dtype) {
    case "float32":
    case "int8-groups":
    case "int4-floats":
      return row;
    case "bfloat16":
      return bf16ToFloat32(float32ToBf16(row));
    case "int8": {
      const { integers, scale } = toInt8(row);
      return Float32Array.from(integers, (q) => q * scale);
    }
    case "int4":
      return integerValues(roundToInt4(row, row.length));
  }
}

/** A row as int8 with one scale, max |w| / 127. */
export function toInt8(row: Float32Array): { readonly integers: Int8Array; readonly scale: number } {
  const scale = Math.fround(row.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127);
  return { integers: Int8Array.from(row, (value) => (scale === 0 ? 0 : Math.round(value / scale))), scale };
}
