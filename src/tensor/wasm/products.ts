/**
 * Matrix products: chooses how each operand is read, and how much working memory that takes. The arithmetic is in
 * products.as.ts and integers/linear.as.ts.
 */
import type { Kernels, PackedDtype } from "../device.js";
import type { Engine } from "./engine.js";

/** The constants of panels.as.ts: how the weights of a product lie in memory. */
export const PANELS = { float32: 0, bfloat16: 1 } as const;
export const ACROSS = {
  float32: 4,
  bfloat16: 5,
  int8: 6,
  int4: 7,
  "int4-floats": 8,
} as const satisfies Record<PackedDtype, number>;
const MATRIX = 2;
const MATRIX_TRANSPOSED = 3;

/**
 * Rough speed of one thread, for sharing: weights per microsecond (few rows: memory is the limit) and multiply-adds per
 * microsecond (many rows: arithmetic is).
 */
const WEIGHTS_PER_US = {
  float32: 6500,
  bfloat16: 10_000,
  int8: 22_000,
  int4: 30_000,
  "int4-floats": 28_000,
} as const satisfies Record<PackedDtype, number>;
const MACS_PER_US = 24_000;
const INTEGER_MACS_PER_US = 40_000;
/** With more than one row, a call may begin by copying the rows: fewer, larger parts are better then. */
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
          {
            kind: transposeB ? MATRIX_TRANSPOSED : MATRIX,
            a: left + 4 * z * m * k,
            b: right + 4 * z * k * n,
            y: y.address + 4 * z * m * n,
            m,
            n,
            k,
            transposed: Number(transposeA),
            work,
          },
          { items: panelsOf(n), us: (m * n * k) / MACS_PER_US, least: PANELS_PER_PART },
        );
      }
      return y;
    },

    linear(x, weight, rows, bias, residual) {
      const { address, rows: n, columns: k, dtype } = engine.packed(weight);
      const y = engine.allocate(rows * n);
      const biasAt = bias === undefined ? 0 : engine.at(bias);
      const residualAt = residual === undefined ? 0 : engine.at(residual);
      const items = panelsOf(n);
      const integers = dtype !== "float32" && dtype !== "bfloat16";
      const us = n * k * Math.max(1 / WEIGHTS_PER_US[dtype], rows / (integers ? INTEGER_MACS_PER_US : MACS_PER_US));
      if (integers) {
        engine.share(
          "linearIntegers",
          {
            kind: ACROSS[dtype],
            w: address,
            x: engine.at(x),
            y: y.address,
            bias: biasAt,
            residual: residualAt,
            rows,
            n,
            k,
            work: engine.work(wasm.integerWorkBytes(rows, k)),
          },
          { items, us, least: PANELS_PER_PART },
        );
      } else {
        engine.share(
          "linear",
          {
            kind: PANELS[dtype],
            w: address,
            x: engine.at(x),
            y: y.address,
            bias: biasAt,
            residual: residualAt,
            rows,
            n,
            k,
            work: engine.work(Math.max(blockBytes, wasm.streamBytes(k))),
          },
          { items, us, least: rows > 1 ? PANELS_PER_PART : 1 },
        );
      }
      return y;
    },

    linearBackward(dy, weight, rows) {
      const { address, rows: n, columns: k, dtype } = engine.packed(weight);
      const dx = engine.allocate(rows * k);
      engine.share(
        "matmul",
        {
          kind: ACROSS[dtype],
          a: engine.at(dy),
          b: address,
          y: dx.address,
          m: rows,
          n: k,
          k: n,
          transposed: 0,
          work: engine.work(blockBytes),
        },
        { items: panelsOf(k), us: (rows * n * k) / MACS_PER_US, least: PANELS_PER_PART },
      );
      return dx;
    },
  };
}

/** Panels of sixteen columns. */
export function panelsOf(columns: number): number {
  return Math.ceil(columns / 16);
}
