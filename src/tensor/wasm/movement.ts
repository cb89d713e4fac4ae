/** Kernels that move floats or add them up, see movement.as.ts. */
import type { Kernels, MovementKernels } from "../device.js";
import { broadcastStrides, sizeOf } from "../shape.js";
import type { Engine } from "./engine.js";
import { ACROSS } from "./products.js";

export function movementKernels(engine: Engine): MovementKernels & Pick<Kernels, "gatherPacked"> {
  const { wasm } = engine;
  const copyRun = (from: number, to: number, n: number): void =>
    wasm.copyRows({ from, fromRow: 0, to, toRow: 0, rows: 1, n });

  return {
    sumTo(x, from, to) {
      const y = engine.zeros(sizeOf(to));
      const scalar = from.length === 0;
      const sizes = scalar ? [1] : from;
      const strides = scalar ? [0] : broadcastStrides(to, from);
      if (x.length > 0) {
        wasm.sumTo({
          x: engine.at(x),
          y: y.address,
          rank: sizes.length,
          axes: engine.indices([...sizes, ...strides], sizes.length),
          rows: x.length / sizes.at(-1)!,
        });
      }
      return y;
    },

    columns(x, rows, width, begin, end) {
      const n = end - begin;
      const y = engine.allocate(rows * n);
      wasm.copyRows({ from: engine.at(x) + 4 * begin, fromRow: width, to: y.address, toRow: n, rows, n });
      return y;
    },
    columnsBackward(dy, rows, width, begin, end) {
      const n = end - begin;
      const dx = engine.zeros(rows * width);
      wasm.copyRows({ from: engine.at(dy), fromRow: n, to: dx.address + 4 * begin, toRow: width, rows, n });
      return dx;
    },

    slice(x, begin, end) {
      const y = engine.allocate(end - begin);
      copyRun(engine.at(x) + 4 * begin, y.address, end - begin);
      return y;
    },
    concat(parts) {
      const y = engine.allocate(parts.reduce((length, part) => length + part.length, 0));
      let to = y.address;
      for (const part of parts) {
        copyRun(engine.at(part), to, part.length);
        to += 4 * part.length;
      }
      return y;
    },

    gather(table, ids, width) {
      const y = engine.allocate(ids.length * width);
      wasm.gather({
        table: engine.at(table),
        ids: engine.indices(ids),
        y: y.address,
        count: ids.length,
        n: width,
      });
      return y;
    },
    gatherPacked(table, ids) {
      const { address, columns, dtype } = engine.packed(table);
      const y = engine.allocate(ids.length * columns);
      wasm.unpackRows({
        kind: ACROSS[dtype],
        w: address,
        k: columns,
        ids: engine.indices(ids),
        count: ids.length,
        to: y.address,
      });
      return y;
    },
    scatterAdd(dy, ids, rows, width) {
      const y = engine.zeros(rows * width);
      wasm.scatterAdd({
        dy: engine.at(dy),
        ids: engine.indices(ids),
        y: y.address,
        count: ids.length,
        n: width,
      });
      return y;
    },

    takeAlongRows(x, ids, rows, width, k) {
      const y = engine.allocate(rows * k);
      wasm.takeAlongRows({ x: engine.at(x), ids: engine.indices(ids), y: y.address, rows, n: width, k });
      return y;
    },
    takeAlongRowsBackward(dy, ids, rows, width, k) {
      const dx = engine.zeros(rows * width);
      wasm.takeAlongRowsBackward({
        dy: engine.at(dy),
        ids: engine.indices(ids),
        x: dx.address,
        rows,
        n: width,
        k,
      });
      return dx;
    },

    sumSquares(x) {
      const y = engine.allocate(1);
      wasm.sumSquares(engine.at(x), x.length, y.address);
      return y;
    },
  };
}
