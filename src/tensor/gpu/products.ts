/**
 * Matrix products of the GPU device, one dot product per element, no tiles and no shared memory: gpu.js has neither
 * (src/tensor/gpu/README.md). Weights too large for one array are split.
 *   matmul  y[r, n] = Σ_k A(r, k) · B(k, n), operands read through strides, so that transposed ones need no copy
 *   linear  y = x·Wᵀ + bias + residual, W stored [K, N]: neighbouring threads read neighbouring weights
 * Four sums at a time, because a single sum waits for its own previous addition.
 */
import type { Kernels, MatmulDims, PackedStorage, ProductKernels } from "../device.js";
import type { Engine, GpuStorage } from "./engine.js";
import { packedOf } from "./weights.js";
import { matrixKernel } from "./kernel-source.js";

/** Σ_t left(t) · right(t) over 4·quarters + rest terms, into `total`. */
const dot = (left: (t: string) => string, right: (t: string) => string): string => {
  const product = (t: string): string => `${left(t)} * ${right(t)}`;
  return `
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  for (let t = 0; t < quarters; t++) {
    sum0 += ${product("(4 * t + 0)")};
    sum1 += ${product("(4 * t + 1)")};
    sum2 += ${product("(4 * t + 2)")};
    sum3 += ${product("(4 * t + 3)")};
  }
  for (let u = 0; u < rest; u++) {
    sum0 += ${product("(4 * quarters + u)")};
  }
  let total = (sum0 + sum1) + (sum2 + sum3);`;
};

const matmul = matrixKernel(
  "matmul",
  "array a b, integer aRow aStep bColumn bStep quarters rest",
  `
  ${dot(
    (t) => `a[ROW * aRow + ${t} * aStep]`,
    (t) => `b[COLUMN * bColumn + ${t} * bStep]`,
  )}
  return total;
`,
);

/** Columns [first, first + n) of x·Wᵀ + bias + residual, of `width` in all. */
const linear = matrixKernel(
  "linear",
  "array x w bias residual, integer k n first width quarters rest hasBias hasResidual",
  `
  ${dot(
    (t) => `x[ROW * k + ${t}]`,
    (t) => `w[${t} * n + COLUMN]`,
  )}
  if (hasBias > 0) {
    total += bias[first + COLUMN];
  }
  if (hasResidual > 0) {
    total += residual[ROW * width + first + COLUMN];
  }
  return total;
`,
);

/** dx = before + dy[:, first .. first + n) · W. */
const linearBackward = matrixKernel(
  "linearBackward",
  "array dy w before, integer k n first width quarters rest more",
  `
  ${dot(
    (t) => `dy[ROW * width + first + ${t}]`,
    (t) => `w[COLUMN * n + ${t}]`,
  )}
  if (more > 0) {
    total += before[ROW * k + COLUMN];
  }
  return total;
`,
);

/** Rows ids of W [N, K], stored [K, n] from row `first` on; rows outside are taken from `before`. */
const gatherWeights = matrixKernel(
  "gatherWeights",
  "array w ids before, integer k n first more",
  `
  let y = 0;
  if (more > 0) {
    y = before[ROW * k + COLUMN];
  }
  if (ids[ROW] >= first && ids[ROW] < first + n) {
    y = w[COLUMN * n + (ids[ROW] | 0) - first];
  }
  return y;
`,
);

/** [R, left] and [R, right], side by side. */
const joinColumns = matrixKernel(
  "joinColumns",
  "array a b, integer left right",
  `
  let y = 0;
  if (COLUMN < left) {
    y = a[ROW * left + COLUMN];
  } else {
    y = b[ROW * right + COLUMN - left];
  }
  return y;
`,
);

const unrolled = (k: number): { quarters: number; rest: number } => ({ quarters: k >> 2, rest: k & 3 });

export function productKernels(engine: Engine): ProductKernels & Pick<Kernels, "gatherPacked"> {
  return {
    matmul: (a, b, { m, n, k, transposeA, transposeB }: MatmulDims): GpuStorage =>
      engine.matrix(matmul, m, n, {
        a,
        b,
        aRow: transposeA ? 1 : k,
        aStep: transposeA ? m : 1,
        bColumn: transposeB ? k : 1,
        bStep: transposeB ? 1 : n,
        ...unrolled(k),
      }),

    linear(x, weight: PackedStorage, rows, bias, residual): GpuStorage {
      const { columns: k, rows: width, parts } = packedOf(engine, weight);
      return parts
        .map((part) =>
          engine.matrix(linear, rows, part.rows, {
            x,
            w: part.weights(),
            bias: bias ?? engine.nothing,
            residual: residual ?? engine.nothing,
            k,
            n: part.rows,
            first: part.first,
            width,
            ...unrolled(k),
            hasBias: Number(bias !== undefined),
            hasResidual: Number(residual !== undefined),
          }),
        )
        .reduce((a, b) => {
          const left = a.length / Math.max(1, rows);
          const right = b.length / Math.max(1, rows);
          return engine.matrix(joinColumns, rows, left + right, { a, b, left, right });
        });
    },

    linearBackward(dy, weight, rows): GpuStorage {
      const { columns: k, rows: width, parts } = packedOf(engine, weight);
      return parts.reduce<GpuStorage | undefined>(
        (before, part) =>
          engine.matrix(linearBackward, rows, k, {
            dy,
            w: part.weights(),
            before: before ?? engine.nothing,
            k,
            n: part.rows,
            first: part.first,
            width,
            ...unrolled(part.rows),
            more: Number(before !== undefined),
          }),
        undefined,
      )!;
    },

    gatherPacked(table, ids): GpuStorage {
      const { columns: k, parts } = packedOf(engine, table);
      const rows = engine.integers(ids);
      return parts.reduce<GpuStorage | undefined>(
        (before, part) =>
          engine.matrix(gatherWeights, ids.length, k, {
            w: part.weights(),
            ids: rows,
            before: before ?? engine.nothing,
            k,
            n: part.rows,
            first: part.first,
            more: Number(before !== undefined),
          }),
        undefined,
      )!;
    },
  };
}
