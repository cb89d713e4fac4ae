/**
 * Kernels that move or sum: slices, columns, gathers, and their transposes (the gradient of reading an element is
 * adding to it).
 */
import type { Kernels, MovementKernels } from "../device.js";
import { broadcastStrides, sizeOf, stridesOf } from "../shape.js";
import { type Allocate, build, copyInto, type Floats, floats, type OnFloats } from "./floats.js";

export function movementKernels(allocate: Allocate): OnFloats<MovementKernels & Pick<Kernels, "gatherPacked">> {
  const gatherRows = (table: Floats, ids: ArrayLike<number>, width: number): Floats =>
    build(allocate, ids.length * width, (i) => table[ids[Math.floor(i / width)]! * width + (i % width)]!);

  return {
    sumTo(x, from, to) {
      const strides = broadcastStrides(to, from);
      const fromStrides = stridesOf(from);
      const sums = new Float64Array(sizeOf(to));
      for (let i = 0; i < x.length; i++) {
        let target = 0;
        for (let axis = 0; axis < from.length; axis++) {
          target += (Math.floor(i / fromStrides[axis]!) % from[axis]!) * strides[axis]!;
        }
        sums[target]! += x[i]!;
      }
      return copyInto(allocate, sums);
    },

    columns(x, rows, width, begin, end) {
      const kept = end - begin;
      return build(allocate, rows * kept, (i) => x[Math.floor(i / kept) * width + begin + (i % kept)]!);
    },
    columnsBackward(dy, rows, width, begin, end) {
      const kept = end - begin;
      const dx = allocate(rows * width);
      for (let i = 0; i < rows * kept; i++) dx[Math.floor(i / kept) * width + begin + (i % kept)] = dy[i]!;
      return dx;
    },

    slice(x, begin, end) {
      return x.slice(begin, end);
    },
    concat(parts) {
      const out = allocate(parts.reduce((length, part) => length + part.length, 0));
      let offset = 0;
      for (const part of parts) {
        out.set(floats(part), offset);
        offset += part.length;
      }
      return out;
    },

    gather: (table, ids, width) => gatherRows(table, ids, width),
    gatherPacked: (table, ids) => gatherRows(table.data, ids, table.columns),
    scatterAdd(dy, ids, rows, width) {
      const sums = new Float64Array(rows * width);
      for (let i = 0; i < dy.length; i++) sums[ids[Math.floor(i / width)]! * width + (i % width)]! += dy[i]!;
      return copyInto(allocate, sums);
    },

    takeAlongRows(x, ids, rows, width, k) {
      return build(allocate, rows * k, (i) => x[Math.floor(i / k) * width + ids[i]!]!);
    },
    takeAlongRowsBackward(dy, ids, rows, width, k) {
      const dx = allocate(rows * width);
      for (let i = 0; i < rows * k; i++) dx[Math.floor(i / k) * width + ids[i]!]! += dy[i]!;
      return dx;
    },

    sumSquares(x) {
      let sum = 0;
      for (const value of x) sum += value * value;
      return build(allocate, 1, () => sum);
    },
  };
}
