/** Rounds rows of a weight matrix as they are stored, for devices that do so on the host. */
import type { PackedDtype } from "./device.js";
import { bf16ToFloat32, float32ToBf16 } from "./formats/half-floats.js";
import { integerValues, roundToIntegers } from "./integer-rows.js";

/** bfloat16 rounds to nearest even, integers as integer-rows.ts says. */
export function roundRow(row: Float32Array, dtype: PackedDtype): Float32Array {
  switch (dtype) {
    case "float32":
      return row;
    case "bfloat16":
      return bf16ToFloat32(float32ToBf16(row));
    default:
      return integerValues(roundToIntegers(row, row.length, dtype));
  }
}
