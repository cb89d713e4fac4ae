/** Matrix products of the GPU device; weights too large for one array are split. */
import type { Kernels, MatmulDims, PackedStorage, ProductKernels } from "../device.js";
import type { Engine, GpuStorage } from "./engine.js";
import { gatherWeights, linear, linearBackward, matmul, matmulStack } from "./kernels/products.kernel.js";
import { joinColumns } from "./kernels/movement.kernel.js";
import { packedOf } from "./weights.js";

const unrolled = (k: number): { quarters: number; rest: number } => ({ quarters: k >> 2, rest: k & 3 });

export function productKernels(engine: Engine): ProductKernels & Pick<Kernels, "gatherPacked"> {
  return {
    matmul(a, b, { batch, m, n, k, transposeA, transposeB }: MatmulDims): GpuStorage {
      const strides = {
        aRow: transposeA ? 1 : k,
        aStep: transposeA ? m : 1,
        bColumn: transposeB ? k : 1,
        bStep: transposeB ? 1 : n,
        ...unrolled(k),
      };
      if (batch === 1) return engine.matrix(matmul, m, n, { a, b, ...strides });
      engine.requireExact("matmul: a stack", Math.max(a.length, b.length));
      engine.requireRows("matmul", batch * m);
      return engine.matrix(matmulStack, batch * m, n, { a, b, m, aMatrix: m * k, bMatrix: k * n, ...strides });
    },

    linear(x, weight: PackedStorage, rows, bias, residual): GpuStorage {
      const { columns: k, rows: width, parts } = packedOf(engine, weight);
      return engine.scope(() =>
        parts
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
          }),
      );
    },

    linearBackward(dy, weight, rows): GpuStorage {
      const { columns: k, rows: width, parts } = packedOf(engine, weight);
      return engine.scope(() =>
        parts.reduce<GpuStorage | undefined>(
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
        )!,
      );
    },

    gatherPacked(table, ids): GpuStorage {
      const { columns: k, parts } = packedOf(engine, table);
      return engine.scope(() => {
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
      });
    },
  };
}
