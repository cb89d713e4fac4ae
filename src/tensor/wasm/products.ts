/**
 * Matrix products: chooses how operands are read, and the working memory. Arithmetic: products.as.ts and
 * integers/linear.as.ts.
 */
import type { PackedDtype, ProductKernels } from "../device.js";
import type { Engine, WasmPacked } from "./engine.js";
import {
  ACROSS_BF16,
  ACROSS_F32,
  ACROSS_INT8,
  MATRIX,
  MATRIX_TRANSPOSED,
  NIBBLE_CENTRED,
  NIBBLE_FLOATS,
  NIBBLE_HALVES,
  PANELS_BF16,
  PANELS_F32,
} from "./kernels/constants.js";
import type { KernelArguments } from "./kernels/kernels.generated.js";
import { Places } from "./places.js";
import type { Work } from "./threads.js";

export const PANELS = { float32: PANELS_F32, bfloat16: PANELS_BF16 } as const;
export const ACROSS = {
  float32: ACROSS_F32,
  bfloat16: ACROSS_BF16,
  int8: ACROSS_INT8,
  int4: NIBBLE_HALVES,
  "int4-floats": NIBBLE_FLOATS,
  "int4-centred": NIBBLE_CENTRED,
} as const satisfies Record<PackedDtype, number>;

/**
 * Rough speed of one thread, for sharing, per microsecond: weights (few rows: memory limits) and multiply-adds (many
 * rows: arithmetic does).
 */
const WEIGHTS_PER_US = {
  float32: 6500,
  bfloat16: 10_000,
  int8: 22_000,
  int4: 30_000,
  "int4-floats": 28_000,
  "int4-centred": 33_000,
} as const satisfies Record<PackedDtype, number>;
const MACS_PER_US = 24_000;
const INTEGER_MACS_PER_US = 60_000;
/** Rows rounded to integers together: they stay in the second-level cache. */
const BLOCK = 64;
/** With several rows, a call may begin by copying them: fewer, larger parts are better. */
const PANELS_PER_PART = 8;

type IntegerDtype = Exclude<PackedDtype, "float32" | "bfloat16">;

type Product = { -readonly [Key in keyof KernelArguments["linear"]]: number };

/** `linear` on addresses, 0 for none: x [rows, K] -> y [rows, N]. */
export type Linear = (x: number, weight: WasmPacked, rows: number, bias: number, residual: number, y: number) => void;

export function createLinear(engine: Engine, now: () => number): Linear {
  const { wasm } = engine;
  const blockBytes = wasm.blockBytes();
  const places = new Places(now, () => engine.memory.used);

  const share = (kernel: "linear" | "linearIntegers", given: Product, work: Work): void => {
    given.places = places.next(given);
    engine.share(kernel, given, work);
    places.done();
  };

  /** One row is float32: its kernel rounds it. */
  const integerRow = (given: Product, dtype: IntegerDtype): void => {
    const { n, k } = given;
    const us = (n * k) / WEIGHTS_PER_US[dtype];
    share("linearIntegers", given, { items: panelsOf(n), least: PANELS_PER_PART, us });
  };

  const integers = (given: Product, dtype: IntegerDtype): void => {
    const { rows, n, k, work: own } = given;
    if (rows === 1) {
      integerRow(given, dtype);
      return;
    }
    const work = { items: panelsOf(n), least: PANELS_PER_PART };
    const quantized = engine.inputs(wasm.quantizedBytes(Math.min(BLOCK, rows), k));
    for (let r = 0; r < rows; r += BLOCK) {
      const some = Math.min(BLOCK, rows - r);
      const x = given.x + 4 * r * k;
      const y = given.y + 4 * r * n;
      const residual = given.residual === 0 ? 0 : given.residual + 4 * r * n;
      if (some === 1) {
        integerRow({ ...given, x, y, residual, rows: 1 }, dtype);
        return;
      }
      wasm.quantizeIntegers({ kind: given.kind, x, to: quantized, rows: some, k, work: own });
      const us = n * k * Math.max(1 / WEIGHTS_PER_US[dtype], some / INTEGER_MACS_PER_US);
      share("linearIntegers", { ...given, x: quantized, y, residual, rows: some }, { ...work, us });
    }
  };

  return (x, { address, rows: n, columns: k, dtype }, rows, bias, residual, y) => {
    const floats = dtype === "float32" || dtype === "bfloat16";
    // Not by spreading: decoding makes dozens per token.
    const given = {
      kind: floats ? PANELS[dtype] : ACROSS[dtype],
      w: address,
      x,
      y,
      bias,
      residual,
      rows,
      n,
      k,
      places: 0,
      work: engine.work(
        floats ? Math.max(blockBytes, wasm.streamBytes(k)) : wasm.integerWorkBytes(Math.min(BLOCK, rows), k),
      ),
    };
    if (!floats) {
      integers(given, dtype);
      return;
    }
    const us = n * k * Math.max(1 / WEIGHTS_PER_US[dtype], rows / MACS_PER_US);
    share("linear", given, { items: panelsOf(n), us, least: rows > 1 ? PANELS_PER_PART : 1 });
  };
}

export function productKernels(engine: Engine, linear: Linear): ProductKernels {
  const { wasm } = engine;
  return {
    matmul(a, b, { m, n, k, transposeA, transposeB }) {
      const y = engine.allocate(m * n);
      engine.share(
        "matmul",
        {
          kind: transposeB ? MATRIX_TRANSPOSED : MATRIX,
          a: engine.at(a),
          b: engine.at(b),
          y: y.address,
          m,
          n,
          k,
          transposed: Number(transposeA),
          work: engine.work(wasm.blockBytes()),
        },
        { items: panelsOf(n), us: (m * n * k) / MACS_PER_US, least: PANELS_PER_PART },
      );
      return y;
    },

    linear(x, weight, rows, bias, residual) {
      const matrix = engine.packed(weight);
      const y = engine.allocate(rows * matrix.rows);
      linear(engine.at(x), matrix, rows, engine.atOrNone(bias), engine.atOrNone(residual), y.address);
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
          work: engine.work(wasm.blockBytes()),
        },
        { items: panelsOf(k), us: (rows * n * k) / MACS_PER_US, least: PANELS_PER_PART },
      );
      return dx;
    },
  };
}

/** Rows of k values in working memory at a time: a megabyte of float32, or sixteen rows. */
export function rowsAtOnce(k: number): number {
  return 16 * Math.max(1, Math.floor(2 ** 14 / Math.max(k, 1)));
}

export function panelsOf(columns: number): number {
  return Math.ceil(columns / 16);
}
