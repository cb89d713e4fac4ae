/**
 * Kernels that move values are exact; those that add n of them are off by at most n units times the sum of absolute
 * values.
 */
import fc from "fast-check";
import type { Storage } from "../../../src/tensor/device.js";
import { absolute, type AnyLaw, contents, integers, law, type LawDevice, seeds, UNIT, values } from "./law.js";

interface MatrixCase {
  readonly rows: number;
  readonly width: number;
  readonly begin: number;
  readonly end: number;
  readonly x: Float32Array;
}

const matrixCases = fc
  .record({
    rows: fc.integer({ min: 0, max: 6 }),
    width: fc.integer({ min: 1, max: 30 }),
    at: fc.tuple(fc.nat(29), fc.nat(30)),
    seed: seeds,
  })
  .map(({ rows, width, at, seed }): MatrixCase => {
    const begin = at[0] % width;
    return { rows, width, begin, end: begin + 1 + (at[1] % (width - begin)), x: values(seed, "x", rows * width) };
  });

interface IdsCase {
  readonly table: Float32Array;
  readonly rows: number;
  readonly width: number;
  readonly ids: readonly number[];
  readonly dy: Float32Array;
}

const idsCases = fc
  .record({
    rows: fc.integer({ min: 1, max: 8 }),
    width: fc.integer({ min: 1, max: 21 }),
    count: fc.integer({ min: 0, max: 12 }),
    seed: seeds,
  })
  .map(({ rows, width, count, seed }): IdsCase => ({
    rows,
    width,
    table: values(seed, "table", rows * width),
    ids: integers(seed, "ids", count, rows),
    dy: values(seed, "dy", count * width),
  }));

interface TakeCase {
  readonly rows: number;
  readonly width: number;
  readonly k: number;
  readonly x: Float32Array;
  readonly dy: Float32Array;
  readonly ids: readonly number[];
}

const takeCases = fc
  .record({
    rows: fc.integer({ min: 0, max: 5 }),
    width: fc.integer({ min: 1, max: 19 }),
    k: fc.integer({ min: 1, max: 4 }),
    seed: seeds,
  })
  .map(({ rows, width, k, seed }): TakeCase => ({
    rows,
    width,
    k,
    x: values(seed, "x", rows * width),
    dy: values(seed, "dy", rows * k),
    ids: integers(seed, "ids", rows * k, width),
  }));

interface SumToCase {
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly x: Float32Array;
}

const sumToCases = fc
  .record({
    axes: fc.array(fc.record({ size: fc.integer({ min: 1, max: 9 }), summed: fc.boolean() }), { maxLength: 4 }),
    seed: seeds,
  })
  .map(({ axes, seed }): SumToCase => ({
    from: axes.map(({ size }) => size),
    to: axes.map(({ size, summed }) => (summed ? 1 : size)),
    x: values(
      seed,
      "x",
      axes.reduce((total, { size }) => total * size, 1),
    ),
  }));

const runSumTo = (device: LawDevice, { from, to, x }: SumToCase): { y: Storage } => ({
  y: device.kernels.sumTo(device.upload(x), from, to),
});
const runScatter = (device: LawDevice, { dy, ids, rows, width }: IdsCase): { y: Storage } => ({
  y: device.kernels.scatterAdd(device.upload(dy), ids, rows, width),
});
const runTakeBackward = (device: LawDevice, { dy, ids, rows, width, k }: TakeCase): { dx: Storage } => ({
  dx: device.kernels.takeAlongRowsBackward(device.upload(dy), ids, rows, width, k),
});

export const movementLaws: readonly AnyLaw[] = [
  law<SumToCase>({
    kernel: "sumTo",
    cases: sumToCases,
    run: runSumTo,
    bounds: (c, { reference }) => ({
      y: contents(runSumTo(reference, { ...c, x: absolute(c.x) }).y).map((total) => c.x.length * UNIT * total),
    }),
  }),
  law<MatrixCase>({
    kernel: "columns",
    cases: matrixCases,
    run: (device, { x, rows, width, begin, end }) => ({
      y: device.kernels.columns(device.upload(x), rows, width, begin, end),
    }),
  }),
  law<MatrixCase>({
    kernel: "columnsBackward",
    cases: matrixCases,
    run: (device, { x, rows, width, begin, end }) => ({
      dx: device.kernels.columnsBackward(device.upload(x.slice(0, rows * (end - begin))), rows, width, begin, end),
    }),
  }),
  law<MatrixCase>({
    kernel: "slice",
    cases: matrixCases,
    run: (device, { x, rows, width, begin }) => ({
      y: device.kernels.slice(device.upload(x), Math.min(begin, rows * width), rows * width),
    }),
  }),
  law<MatrixCase>({
    kernel: "concat",
    cases: matrixCases,
    run: (device, { x, begin, end }) => ({
      y: device.kernels.concat([device.upload(x), device.upload(x.slice(begin, end)), device.upload(x)]),
    }),
  }),
  law<IdsCase>({
    kernel: "gather",
    cases: idsCases,
    run: (device, { table, ids, width }) => ({ y: device.kernels.gather(device.upload(table), ids, width) }),
  }),
  law<IdsCase>({
    kernel: "scatterAdd",
    cases: idsCases,
    run: runScatter,
    bounds: (c, { reference }) => ({
      y: contents(runScatter(reference, { ...c, dy: absolute(c.dy) }).y).map((total) => c.ids.length * UNIT * total),
    }),
  }),
  law<TakeCase>({
    kernel: "takeAlongRows",
    cases: takeCases,
    run: (device, { x, ids, rows, width, k }) => ({
      y: device.kernels.takeAlongRows(device.upload(x), ids, rows, width, k),
    }),
  }),
  law<TakeCase>({
    kernel: "takeAlongRowsBackward",
    cases: takeCases,
    run: runTakeBackward,
    bounds: (c, { reference }) => ({
      dx: contents(runTakeBackward(reference, { ...c, dy: absolute(c.dy) }).dx).map((total) => c.k * UNIT * total),
    }),
  }),
];
