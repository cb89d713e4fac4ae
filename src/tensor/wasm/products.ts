/**
 * Matrix products: which operand lies how, and how much working memory that takes. The arithmetic is in products.as.ts
 * and bytes.as.ts.
 */
import type { Kernels, WeightDtype } from "../device.js";
import type { Engine } from "./engine.js";

/** Numbers of panels.as.ts: how the weights of a product lie in memory. */
export const PANELS = { float32: 0, bfloat16: 1 } as const;
export const ACROSS = { float32: 4, bfloat16: 5, int8: 6 } as const satisfies Record<WeightDtype, number>;
const MATRIX = 2;
const MATRIX_TRANSPOSED = 3;

/**
 * Rough times for sharing: weights a microsecond of one thread when few rows wait for memory, multiply-adds when many
 * compute.
 */
const WEIGHTS_PER_US = { float32: 6500, bfloat16: 10_000, int8: 20_000 } as const satisfies Record<WeightDtype, number>;
const MACS_PER_US = 24_000;
/** With more than one row a call may begin by copying the rows: fewer, larger parts then. */
const PANELS_PER_PART = 8;

export function productKernels(engine: Engine): Pick<Kernels, "matmul" | "linear" | "linearBackward"> {
  const { wasm } = engine;
  const blockBytes = wasm.blockBytes();

  return {
    matmul(a, b, { batch, m, n, k, transposeA, transposeB }) {
      const y = engine.allocate(batch * m * n);
      const work = engine.work(blockBytes);
      const left = engine.at(a);
      const right = engine.at(b);
      for (let z = 0; z < batch; z++) {
        engine.share(
          "matmul",
          [
            transposeB ? MATRIX_TRANSPOSED : MATRIX,
            left + 4 * z * m * k,
            right + 4 * z * k * n,
            y.address + 4 * z * m * n,
            m,
            n,
            k,
            Number(transposeA),
            work,
            0,
            panelsOf(n),
          ],
          (m * n * k) / MACS_PER_US,
          PANELS_PER_PART,
        );
      }
      return y;
    },

    linear(x, weight, rows, bias, residual) {
      const { address, rows: n, columns: k, dtype, scalesAt } = engine.packed(weight);
      const y = engine.allocate(rows * n);
      const biasAt = bias === undefined ? 0 : engine.at(bias);
      const residualAt = residual === undefined ? 0 : engine.at(residual);
      const us = n * k * Math.max(1 / WEIGHTS_PER_US[dtype], rows / MACS_PER_US);
      const least = rows > 1 ? PANELS_PER_PART : 1;
      if (dtype === "int8") {
        const bytes = Math.max(blockBytes, 4 * k + 256); // at least one quantised row
        engine.share(
          "linearInt8",
          [
            address,
            address + scalesAt,
            engine.at(x),
            y.address,
            biasAt,
            residualAt,
            rows,
            n,
            k,
            engine.work(bytes),
            bytes,
            0,
            panelsOf(n),
          ],
          us,
          PANELS_PER_PART,
        );
      } else {
        engine.share(
          "linear",
          [
            PANELS[dtype],
            address,
            engine.at(x),
            y.address,
            biasAt,
            residualAt,
            rows,
            n,
            k,
            engine.work(Math.max(blockBytes, wasm.streamBytes(k))),
            0,
            panelsOf(n),
          ],
          us,
          least,
        );
      }
      return y;
    },

    linearBackward(dy, weight, rows) {
      const { address, rows: n, columns: k, dtype } = engine.packed(weight);
      const dx = engine.allocate(rows * k);
      engine.share(
        "matmul",
        [ACROSS[dtype], engine.at(dy), address, dx.address, rows, k, n, 0, engine.work(blockBytes), 0, panelsOf(k)],
        (rows * n * k) / MACS_PER_US,
        PANELS_PER_PART,
      );
      return dx;
    },
  };
}

/** Panels of sixteen columns. */
export function panelsOf(columns: number): number {
  return Math.ceil(columns / 16);
}
