/**
 * Matrix products as plain loops. Every output element is one dot product, added in float64 in the order of k:
 *   y[r, n] = Σ_k x[r, k] · w[n, k]
 * so it depends on one row of x only. Dot products with integer weights are those of integer-products.ts, unless values
 * are float64.
 */
import type { MatmulDims, PackedStorage, ProductKernels, Storage } from "../device.js";
import { type Allocate, type Floats, floats } from "./floats.js";
import { integerDot, type IntegerMatrix, quantizeRow } from "./integer-products.js";

/** Row-major float32, rounded as its dtype says. */
export interface ReferencePacked extends PackedStorage {
  readonly data: Float32Array;
  /** The integers behind `data`, if its dtype has some. */
  readonly matrix?: IntegerMatrix;
}

const packed = (storage: PackedStorage): Float32Array => (storage as ReferencePacked).data;

export function productKernels(allocate: Allocate): ProductKernels {
  return {
    matmul(aStorage: Storage, bStorage: Storage, { m, n, k, transposeA, transposeB }: MatmulDims): Floats {
      const a = floats(aStorage);
      const b = floats(bStorage);
      const out = allocate(m * n);
      const [aRow, aColumn] = transposeA ? [1, m] : [k, 1];
      const [bRow, bColumn] = transposeB ? [1, k] : [n, 1];
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let t = 0, p = i * aRow, q = j * bColumn; t < k; t++, p += aColumn, q += bRow) sum += a[p]! * b[q]!;
          out[i * n + j] = sum;
        }
      }
      return out;
    },

    linear(xStorage, weight, rows, biasStorage, residualStorage): Floats {
      const x = floats(xStorage);
      const w = packed(weight);
      const { rows: n, columns: k } = weight;
      const bias = biasStorage && floats(biasStorage);
      const residual = residualStorage && floats(residualStorage);
      const y = allocate(rows * n);
      const { matrix } = weight as ReferencePacked;
      if (matrix !== undefined && y instanceof Float32Array) {
        for (let r = 0; r < rows; r++) {
          const row = quantizeRow(x, r * k, k, matrix.bits);
          for (let j = 0; j < n; j++) {
            const start = Math.fround((bias?.[j] ?? 0) + (residual?.[r * n + j] ?? 0));
            y[r * n + j] = start + integerDot(row, matrix, j);
          }
        }
        return y;
      }
      for (let r = 0; r < rows; r++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let t = 0, p = r * k, q = j * k; t < k; t++, p++, q++) sum += x[p]! * w[q]!;
          y[r * n + j] = sum + (bias?.[j] ?? 0) + (residual?.[r * n + j] ?? 0);
        }
      }
      return y;
    },

    linearBackward(dyStorage, weight, rows): Floats {
      const dy = floats(dyStorage);
      const w = packed(weight);
      const { rows: n, columns: k } = weight;
      const dx = allocate(rows * k);
      for (let r = 0; r < rows; r++) {
        for (let t = 0; t < k; t++) {
          let sum = 0;
          for (let j = 0; j < n; j++) sum += dy[r * n + j]! * w[j * k + t]!;
          dx[r * k + t] = sum;
        }
      }
      return dx;
    },
  };
}
