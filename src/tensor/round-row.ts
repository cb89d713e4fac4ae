/** What storing a weight matrix costs in precision, row by row; every device that rounds on the host does it here. */
import type { WeightDtype } from "./device.js";
import { bf16ToFloat32, float32ToBf16 } from "./formats/index.js";

/**
 * The values a row has once stored as `dtype`: bfloat16 rounds to nearest even, int8 is symmetric with one scale per
 * row.
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
