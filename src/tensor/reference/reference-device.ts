/**
 * The reference device: every kernel as a readable loop with float64 accumulators, and the oracle of the fast devices.
 * With `float64: true` storage is float64 too, for finite differences.
 */
import type { CacheStorage, Device, Kernels, PackedDtype, PackedStorage } from "../device.js";
import { createIntegerRows, groupsOf, type IntegerRows, integerValues, roundToIntegers } from "../integer-rows.js";
import { roundRow } from "../round-row.js";
import { attentionKernels, type ReferenceCache } from "./attention.js";
import { elementwiseKernels } from "./elementwise.js";
import { type Floats, floats, type OnFloats, type ReferencePacked } from "./floats.js";
import { lossKernels } from "./losses.js";
import { movementKernels } from "./movement.js";
import { productKernels } from "./products.js";
import { rowKernels } from "./rows.js";

interface ReferenceOptions {
  readonly float64?: boolean;
}

export function createReferenceDevice({ float64 = false }: ReferenceOptions = {}): Device {
  const allocate = (length: number): Floats => (float64 ? new Float64Array(length) : new Float32Array(length));
  const upload = (data: ArrayLike<number>): Floats => {
    const out = allocate(data.length);
    out.set(data);
    return out;
  };

  return {
    backend: "reference",
    info: {
      description: `reference: plain TypeScript loops, ${float64 ? "float64" : "float32"} values, float64 sums`,
      threads: 1,
      batchIndependent: true,
    },
    kernels: {
      ...productKernels(allocate),
      ...elementwiseKernels(allocate),
      ...movementKernels(allocate),
      ...rowKernels(allocate),
      ...lossKernels(allocate),
      ...attentionKernels(allocate),
      adamw,
    } as Kernels,
    upload,
    read: (storage) => Promise.resolve(Float32Array.from(floats(storage))),
    write: (storage, data) => floats(storage).set(data),
    free: () => undefined, // the garbage collector's work
    createPacked,
    packRows,
    packIntegers,
    readPacked: (packed: PackedStorage) => Promise.resolve((packed as ReferencePacked).data.slice()),
    freePacked: () => undefined,
    createCache(kvHeads, headDim, capacity, dtype = "float32"): ReferenceCache {
      const size = kvHeads * headDim * capacity;
      const bytesPerValue = { float32: 4, bfloat16: 2, int8: 1 + 4 / headDim }[dtype]; // int8: a scale for each head
      const bytes = Math.round(2 * size * bytesPerValue);
      return { kvHeads, headDim, capacity, dtype, bytes, keys: allocate(size), values: allocate(size) };
    },
    copyCache(from: CacheStorage, to: CacheStorage, positions: number): void {
      const source = from as ReferenceCache;
      const target = to as ReferenceCache;
      const length = positions * from.kvHeads * from.headDim;
      target.keys.set(source.keys.subarray(0, length));
      target.values.set(source.values.subarray(0, length));
    },
    readCache(cache, begin, end) {
      const { keys, values, kvHeads, headDim } = cache as ReferenceCache;
      const range = [begin * kvHeads * headDim, end * kvHeads * headDim] as const;
      return Promise.resolve({
        keys: Float32Array.from(keys.slice(...range)),
        values: Float32Array.from(values.slice(...range)),
      });
    },
    freeCache: () => undefined,
    dispose: () => Promise.resolve(),
  };
}

function createPacked(rows: number, columns: number, dtype: PackedDtype): ReferencePacked {
  const data = new Float32Array(rows * columns);
  const size = rows * columns;
  const groups = rows * groupsOf(columns);
  switch (dtype) {
    case "float32":
      return { rows, columns, dtype, data, bytes: 4 * size };
    case "bfloat16":
      return { rows, columns, dtype, data, bytes: 2 * size };
    default: {
      const bits = dtype === "int8" ? 8 : 4;
      const perGroup = { int8: 2, int4: 4, "int4-floats": 8, "int4-centred": 2 }[dtype];
      const matrix = { ...createIntegerRows(rows, columns), bits } as const;
      return { rows, columns, dtype, data, bytes: (size * bits) / 8 + perGroup * groups, matrix };
    }
  }
}

function packRows(packed: PackedStorage, firstRow: number, data: Float32Array): void {
  const { columns, dtype, data: target } = packed as ReferencePacked;
  if (dtype !== "float32" && dtype !== "bfloat16") {
    packIntegers(packed, firstRow, roundToIntegers(data, columns, dtype));
    return;
  }
  for (let begin = 0, row = firstRow; begin < data.length; begin += columns, row++) {
    target.set(roundRow(data.subarray(begin, begin + columns), dtype), row * columns);
  }
}

function packIntegers(packed: PackedStorage, firstRow: number, rows: IntegerRows): void {
  const { columns, data, matrix } = packed as ReferencePacked;
  const groups = groupsOf(columns);
  data.set(integerValues(rows), firstRow * columns);
  matrix!.integers.set(rows.integers, firstRow * columns);
  matrix!.scales.set(rows.scales, firstRow * groups);
  matrix!.minimums.set(rows.minimums, firstRow * groups);
}

/** AdamW (Loshchilov & Hutter 2019). */
const adamw: OnFloats<Kernels>["adamw"] = (param, gradient, m, v, step) => {
  const { learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2, gradientScale } = step;
  for (let i = 0; i < param.length; i++) {
    const g = gradient[i]! * gradientScale;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    const update = m[i]! / correction1 / (Math.sqrt(v[i]! / correction2) + epsilon);
    param[i] = param[i]! - learningRate * (update + weightDecay * param[i]!);
  }
};
