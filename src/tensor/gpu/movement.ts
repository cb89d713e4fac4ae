/**
 * Moving and summing on the GPU device. Each kernel asks where its element comes from, never where it goes: there are
 * no atomic additions, so gradients of reads (scatter, take) look up which rows read an element.
 */
import type { MovementKernels, Storage } from "../device.js";
import { sizeOf } from "../shape.js";
import type { Engine, GpuStorage } from "./engine.js";
import { matrixKernel, vectorKernel } from "./kernel-source.js";

export const slice = vectorKernel(
  "slice",
  "array x, integer begin",
  `
  return x[begin + COLUMN];
`,
);

/** a, then b; a has `length` elements. */
const join = vectorKernel(
  "join",
  "array a b, integer length",
  `
  let y = 0;
  if (COLUMN < length) {
    y = a[COLUMN];
  } else {
    y = b[COLUMN - length];
  }
  return y;
`,
);

export const columns = matrixKernel(
  "columns",
  "array x, integer width begin",
  `
  return x[ROW * width + begin + COLUMN];
`,
);

/** dy [R, kept] inside zeros, from column `begin` on. */
const columnsBackward = matrixKernel(
  "columnsBackward",
  "array dy, integer begin kept",
  `
  let y = 0;
  if (COLUMN >= begin && COLUMN < begin + kept) {
    y = dy[ROW * kept + COLUMN - begin];
  }
  return y;
`,
);

const gather = matrixKernel(
  "gather",
  "array table ids, integer width",
  `
  return table[(ids[ROW] | 0) * width + COLUMN];
`,
);

/**
 * Row r of the table was read by rows order[starts[r]] .. order[starts[r + 1] - 1] of dy, at most `longest` of them.
 */
const scatterAdd = matrixKernel(
  "scatterAdd",
  "array dy starts order, integer width longest",
  `
  let sum = 0;
  for (let t = 0; t < longest; t++) {
    if (starts[ROW] + t < starts[ROW + 1]) {
      sum += dy[(order[(starts[ROW] | 0) + t] | 0) * width + COLUMN];
    }
  }
  return sum;
`,
);

const takeAlongRows = matrixKernel(
  "takeAlongRows",
  "array x ids, integer width k",
  `
  return x[ROW * width + (ids[ROW * k + COLUMN] | 0)];
`,
);

const takeAlongRowsBackward = matrixKernel(
  "takeAlongRowsBackward",
  "array dy ids, integer k",
  `
  let sum = 0;
  for (let t = 0; t < k; t++) {
    if (Math.abs(ids[ROW * k + t] - COLUMN) < 0.5) {
      sum += dy[ROW * k + t];
    }
  }
  return sum;
`,
);

/** [outer, n, inner] -> [outer, inner]. */
export const sumMiddle = matrixKernel(
  "sumMiddle",
  "array x, integer n inner",
  `
  let sum = 0;
  for (let t = 0; t < n; t++) {
    sum += x[(ROW * n + t) * inner + COLUMN];
  }
  return sum;
`,
);

/** Sums eight neighbours: a long sum is a tree, whose error grows with its height. */
const sumEight = vectorKernel(
  "sumEight",
  "array x, integer length",
  `
  let sum = 0;
  for (let t = 0; t < 8; t++) {
    if (8 * COLUMN + t < length) {
      sum += x[8 * COLUMN + t];
    }
  }
  return sum;
`,
);

const sumEightSquares = vectorKernel(
  "sumEightSquares",
  "array x, integer length",
  `
  let sum = 0;
  for (let t = 0; t < 8; t++) {
    if (8 * COLUMN + t < length) {
      sum += x[8 * COLUMN + t] * x[8 * COLUMN + t];
    }
  }
  return sum;
`,
);

export function movementKernels(engine: Engine): MovementKernels {
  return {
    sumTo: (x, from, to) => {
      let sum: GpuStorage = engine.at(x);
      // One group of neighbouring summed axes at a time.
      const shape = [...from];
      for (let axis = 0; axis < shape.length;) {
        let end = axis;
        while (end < shape.length && to[end] === 1) end++;
        const n = sizeOf(shape.slice(axis, end));
        const outer = sizeOf(shape.slice(0, axis));
        const inner = sizeOf(shape.slice(end));
        if (n !== 1) {
          sum =
            outer * inner === 1 ? sumAll(engine, sum) : engine.matrix(sumMiddle, outer, inner, { x: sum, n, inner });
        }
        shape.fill(1, axis, end);
        axis = end + 1;
      }
      return sum === x ? engine.vector(slice, x.length, { x, begin: 0 }) : sum;
    },

    columns: (x, rows, width, begin, end) => engine.matrix(columns, rows, end - begin, { x, width, begin }),
    columnsBackward: (dy, rows, width, begin, end) =>
      engine.matrix(columnsBackward, rows, width, { dy, begin, kept: end - begin }),
    slice: (x, begin, end) => engine.vector(slice, end - begin, { x, begin }),
    concat: (parts) => concat(engine, parts),

    gather: (table, ids, width) =>
      engine.matrix(gather, ids.length, width, { table, ids: engine.integers(ids), width }),
    scatterAdd: (dy, ids, rows, width) => {
      const { starts, order, longest } = readers(ids, rows);
      return engine.matrix(scatterAdd, rows, width, {
        dy,
        starts: engine.upload(starts),
        order: engine.upload(order),
        width,
        longest,
      });
    },

    takeAlongRows: (x, ids, rows, width, k) =>
      engine.matrix(takeAlongRows, rows, k, { x, ids: engine.integers(ids), width, k }),
    takeAlongRowsBackward: (dy, ids, rows, width, k) =>
      engine.matrix(takeAlongRowsBackward, rows, width, { dy, ids: engine.integers(ids), k }),

    sumSquares: (x) =>
      sumAll(engine, engine.vector(sumEightSquares, Math.max(1, Math.ceil(x.length / 8)), { x, length: x.length })),
  };
}

/** As a tree: no element is copied more than log₂(parts) times. */
export function concat(engine: Engine, parts: readonly Storage[]): GpuStorage {
  const [only] = parts;
  if (only === undefined) return engine.zeros(0);
  if (parts.length === 1) return engine.vector(slice, only.length, { x: only, begin: 0 });
  const half = (from: readonly Storage[]): Storage => (from.length === 1 ? from[0]! : concat(engine, from));
  const a = half(parts.slice(0, parts.length >> 1));
  const b = half(parts.slice(parts.length >> 1));
  return engine.vector(join, a.length + b.length, { a, b, length: a.length });
}

function sumAll(engine: Engine, x: Storage): GpuStorage {
  let sum = engine.vector(sumEight, Math.max(1, Math.ceil(x.length / 8)), { x, length: x.length });
  while (sum.length > 1) sum = engine.vector(sumEight, Math.ceil(sum.length / 8), { x: sum, length: sum.length });
  return sum;
}

/** Per row of a table, the places in `ids` that name it: order[starts[row]] .. order[starts[row + 1] - 1]. */
function readers(ids: ArrayLike<number>, rows: number): { starts: number[]; order: number[]; longest: number } {
  const lists = Array.from({ length: rows }, (): number[] => []);
  for (let i = 0; i < ids.length; i++) lists[ids[i]!]!.push(i);
  const starts = [0];
  for (const { length } of lists) starts.push(starts.at(-1)! + length);
  return { starts, order: lists.flat(), longest: lists.reduce((most, { length }) => Math.max(most, length), 0) };
}
