/** Kernels that move floats or add them up, see movement.as.ts. */
import type { Kernels } from "../device.js";
import { stridesOf } from "../shape.js";
import type { Engine } from "./engine.js";
import { ACROSS } from "./products.js";

type Movement = Pick<
  Kernels,
  | "sumTo"
  | "columns"
  | "columnsBackward"
  | "slice"
  | "concat"
  | "gather"
  | "gatherPacked"
  | "scatterAdd"
  | "takeAlongRows"
  | "takeAlongRowsBackward"
  | "sumSquares"
>;

export function movementKernels(engine: Engine): Movement {
  const { wasm } = engine;

  return {
    sumTo(x, from, to) {
      const y = engine.allocate(to.reduce((size, axis) => size * axis, 1));
      wasm.fillZeros(y.address, y.length);
      const [sizes, strides] =
        from.length > 0 ? [from, stridesOf(to).map((stride, axis) => (to[axis] === 1 ? 0 : stride))] : [[1], [0]];
      if (x.length > 0) {
        wasm.sumTo(
          engine.at(x),
          y.address,
          sizes.length,
          engine.indices([...sizes, ...strides], sizes.length),
          x.length / sizes.at(-1)!,
        );
      }
      return y;
    },

    columns(x, rows, width, begin, end) {
      const y = engine.allocate(rows * (end - begin));
      wasm.copyRows(engine.at(x) + 4 * begin, width, y.address, end - begin, rows, end - begin);
      return y;
    },
    columnsBackward(dy, rows, width, begin, end) {
      const dx = engine.allocate(rows * width);
      wasm.fillZeros(dx.address, dx.length);
      wasm.copyRows(engine.at(dy), end - begin, dx.address + 4 * begin, width, rows, end - begin);
      return dx;
    },

    slice(x, begin, end) {
      const y = engine.allocate(end - begin);
      wasm.copyRows(engine.at(x) + 4 * begin, 0, y.address, 0, 1, end - begin);
      return y;
    },
    concat(parts) {
      const y = engine.allocate(parts.reduce((length, part) => length + part.length, 0));
      let to = y.address;
      for (const part of parts) {
        wasm.copyRows(engine.at(part), 0, to, 0, 1, part.length);
        to += 4 * part.length;
      }
      return y;
    },

    gather(table, ids, width) {
      const y = engine.allocate(ids.length * width);
      wasm.gather(engine.at(table), engine.indices(ids), y.address, ids.length, width);
      return y;
    },
    gatherPacked(table, ids) {
      const { address, columns, dtype, scalesAt } = engine.packed(table);
      const y = engine.allocate(ids.length * columns);
      wasm.unpackRows(ACROSS[dtype], address, address + scalesAt, columns, engine.indices(ids), ids.length, y.address);
      return y;
    },
    scatterAdd(dy, ids, rows, width) {
      const y = engine.allocate(rows * width);
      wasm.fillZeros(y.address, y.length);
      wasm.scatterAdd(engine.at(dy), engine.indices(ids), y.address, ids.length, width);
      return y;
    },

    takeAlongRows(x, ids, rows, width, k) {
      const y = engine.allocate(rows * k);
      wasm.takeAlongRows(engine.at(x), engine.indices(ids), y.address, rows, width, k);
      return y;
    },
    takeAlongRowsBackward(dy, ids, rows, width, k) {
      const dx = engine.allocate(rows * width);
      wasm.fillZeros(dx.address, dx.length);
      wasm.takeAlongRowsBackward(engine.at(dy), engine.indices(ids), dx.address, rows, width, k);
      return dx;
    },

    sumSquares(x) {
      const y = engine.allocate(1);
      wasm.sumSquares(engine.at(x), x.length, y.address);
      return y;
    },
  };
}
