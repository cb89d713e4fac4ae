/**
 * Matrix products as plain loops. Every output element is one dot product, added in float64 in the order of k:
 *   y[r, n] = Σ_k x[r, k] · w[n, k]
 * so it depends on one row of x only. Dot products with integer weights are those of integer-products.ts, unless values
 * are float64.
 */
import type { ProductKernels } from "../device.js";
import type { Allocate, OnFloats } from "./floats.js";
import { integerDot, quantizeRow } from "./integer-products.js";

export function productKernels(allocate: Allocate): OnFloats<ProductKernels> {
  return {
    matmul(a, b, { m, n, k, transposeA, transposeB }) {
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

    linear(x, weight, rows, bias, residual) {
      const { rows: n, columns: k, data: w, matrix } = weight;
      const y = allocate(rows * n);
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

    linearBackward(dy, weight, rows) {
      const { rows: n, columns: k, data: w } = weight;
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
