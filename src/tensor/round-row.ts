/**
 * Rounds rows of a weight matrix to the precision in which they are stored, for every device that does so on the host.
 */
import type { WeightDtype } from "./device.js";
import { bf16ToFloat32, float32ToBf16 } from "./formats/index.js";

/**
 * Returns the values of a row stored as `dtype`: bfloat16 rounds to nearest even, int8 has one symmetric scale per row.
 */
export function roundRow(row: Float32Array, dtype: WeightDtype): Float32Array {
  switch (dtype) {
    case "float32":
      return row;
    case "bfloat16":
      return bf16ToFloat32(float32ToBf16(row));
    case "int8": {
      const scale = Math.fround(row.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127);
      return row.map((value) => (scale === 0 ? 0 : Math.round(value / scale) * scale));
    }
  }
}
