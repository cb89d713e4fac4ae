/**
 * Kernels that move values are exact; those that add n of them are off by at most n units times the sum of absolute
 * values.
 */
import { absolute, type AnyLaw, integers, law, type LawDevice, seeds, unitsOf, values } from "./law.js";
import { between, type Drawn, fc } from "../../support/property.js";

const matrixCases = fc
  .record({
    rows: between(0, 6),
    width: between(1, 30),
    at: fc.tuple(fc.nat(29), fc.nat(30)),
    seed: seeds,
  })
  .map(({ rows, width, at, seed }) => {
    const begin = at[0] % width;
    return { rows, width, begin, end: begin + 1 + (at[1] % (width - begin)), x: values(seed, "x", rows * width) };
  });

const idsCases = fc
  .record({
    rows: between(1, 8),
    width: between(1, 21),
    count: between(0, 12),
    seed: seeds,
  })
  .map(({ rows, width, count, seed }) => ({
    rows,
    width,
    table: values(seed, "table", rows * width),
    ids: integers(seed, "ids", count, rows),
    dy: values(seed, "dy", count * width),
  }));
type IdsCase = Drawn<typeof idsCases>;

const takeCases = fc
  .record({
    rows: between(0, 5),
    width: between(1, 19),
    k: between(1, 4),
    seed: seeds,
  })
  .map(({ rows, width, k, seed }) => ({
    rows,
    width,
    k,
    x: values(seed, "x", rows * width),
    dy: values(seed, "dy", rows * k),
    ids: integers(seed, "ids", rows * k, width),
  }));
type TakeCase = Drawn<typeof takeCases>;

const sumToCases = fc
  .record({
    axes: fc.array(fc.record({ size: between(1, 9), summed: fc.boolean() }), { maxLength: 4 }),
    seed: seeds,
  })
  .map(({ axes, seed }) => ({
    from: axes.map(({ size }) => size),
    to: axes.map(({ size, summed }) => (summed ? 1 : size)),
    x: values(
      seed,
      "x",
      axes.reduce((total, { size }) => total * size, 1),
    ),
  }));
type SumToCase = Drawn<typeof sumToCases>;

const runSumTo = (device: LawDevice, { from, to, x }: SumToCase) => ({
  y: device.kernels.sumTo(device.upload(x), from, to),
});
const runScatter = (device: LawDevice, { dy, ids, rows, width }: IdsCase) => ({
  y: device.kernels.scatterAdd(device.upload(dy), ids, rows, width),
});
const runTakeBackward = (device: LawDevice, { dy, ids, rows, width, k }: TakeCase) => ({
  dx: device.kernels.takeAlongRowsBackward(device.upload(dy), ids, rows, width, k),
});

export const movementLaws: readonly AnyLaw[] = [
  law({
    kernel: "sumTo",
    cases: sumToCases,
    run: runSumTo,
    bounds: (c, { reference }) => ({
      y: unitsOf(runSumTo(reference, { ...c, x: absolute(c.x) }).y, c.x.length),
    }),
  }),
  law({
    kernel: "columns",
    cases: matrixCases,
    run: (device, { x, rows, width, begin, end }) => ({
      y: device.kernels.columns(device.upload(x), rows, width, begin, end),
    }),
  }),
  law({
    kernel: "columnsBackward",
    cases: matrixCases,
    run: (device, { x, rows, width, begin, end }) => ({
      dx: device.kernels.columnsBackward(device.upload(x.slice(0, rows * (end - begin))), rows, width, begin, end),
    }),
  }),
  law({
    kernel: "slice",
    cases: matrixCases,
    run: (device, { x, rows, width, begin }) => ({
      y: device.kernels.slice(device.upload(x), Math.min(begin, rows * width), rows * width),
    }),
  }),
  law({
    kernel: "concat",
    cases: matrixCases,
    run: (device, { x, begin, end }) => ({
      y: device.kernels.concat([device.upload(x), device.upload(x.slice(begin, end)), device.upload(x)]),
    }),
  }),
  law({
    kernel: "gather",
    cases: idsCases,
    run: (device, { table, ids, width }) => ({ y: device.kernels.gather(device.upload(table), ids, width) }),
  }),
  law({
    kernel: "scatterAdd",
    cases: idsCases,
    run: runScatter,
    bounds: (c, { reference }) => ({
      y: unitsOf(runScatter(reference, { ...c, dy: absolute(c.dy) }).y, c.ids.length),
    }),
  }),
  law({
    kernel: "takeAlongRows",
    cases: takeCases,
    run: (device, { x, ids, rows, width, k }) => ({
      y: device.kernels.takeAlongRows(device.upload(x), ids, rows, width, k),
    }),
  }),
  law({
    kernel: "takeAlongRowsBackward",
    cases: takeCases,
    run: runTakeBackward,
    bounds: (c, { reference }) => ({
      dx: unitsOf(runTakeBackward(reference, { ...c, dy: absolute(c.dy) }).dx, c.k),
    }),
  }),
];
