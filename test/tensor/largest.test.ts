/** The columns of the n largest values of rows: on the host, and on a device that finds them itself. */
import { fc, test } from "@fast-check/vitest";
import { createReferenceDevice, Tensor } from "early-exits/tensor";
import { createDevice } from "early-exits/node";
import { afterAll, describe, expect, it } from "vitest";
import { createRng } from "../../src/tensor/rng.js";
import { largest, largestColumns } from "../../src/tensor/ops/largest.js";

const wasm = await createDevice("wasm");
afterAll(() => wasm.dispose());
const value = fc.oneof(
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1, 1, 1.00001, -1, Infinity, -Infinity, 1e-40),
);

/** Larger values first, and of equal ones the lower columns; none with NaN. */
function sortedColumns(values: Float32Array): number[] {
  const columns = Array.from(values.keys()).filter((column) => !Number.isNaN(values[column]));
  return columns.sort((a, b) => (values[a] === values[b] ? a - b : values[b]! - values[a]!));
}

describe("the largest values of a list", () => {
  test.prop([fc.array(value, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 70 })])(
    "are those of a full sort, and come in order of their columns",
    (list, n) => {
      const values = Float32Array.from(list);
      const found = largest(values, n);
      const sorted = sortedColumns(values).slice(0, n);
      // A negative zero counts as less than zero here.
      expect(found.map((i) => values[i]! + 0).toSorted()).toEqual(sorted.map((i) => values[i]! + 0).toSorted());
      expect(found).toEqual(found.toSorted((a, b) => a - b));
    },
  );
});

describe("the largest columns of every row", () => {
  const rows = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 130 })).chain(([count, width]) =>
    fc.record({
      width: fc.constant(width),
      values: fc.array(value, { minLength: count * width, maxLength: count * width }),
      n: fc.integer({ min: 1, max: 140 }),
    }),
  );
  test.prop([rows], { numRuns: 200 })("are those of a full sort, lower columns first among equals", async (given) => {
    const { width, n } = given;
    const values = Float32Array.from(given.values);
    const x = Tensor.from(wasm, values, [values.length / width, width]);
    const found = await largestColumns(x, n);
    x.dispose();
    for (let r = 0; r < values.length / width; r++) {
      const sorted = sortedColumns(values.subarray(r * width, (r + 1) * width));
      expect(found[r]).toEqual(sorted.slice(0, n).toSorted((a, b) => a - b));
    }
  });

  // Rows of many blocks: few values that are not equal, some that are NaN, and the largest side by side or far apart.
  const blocks = fc.record({
    seed: fc.integer(),
    width: fc.integer({ min: 1, max: 2000 }),
    n: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2100 })),
    levels: fc.constantFrom(1, 2, 7, 1000),
    lowest: fc.constantFrom(-Infinity, -1e30, 0),
    nan: fc.constantFrom(0, 0, 0.1, 0.9),
    ascending: fc.boolean(),
  });
  test.prop([blocks], { numRuns: 200 })("are those of a full sort over many blocks, without NaN", async (given) => {
    const { seed, width, n, levels, lowest, nan, ascending } = given;
    const rng = createRng(seed);
    const values = Float32Array.from({ length: width }, () => {
      if (rng.uniform() < nan) return NaN;
      const level = Math.floor(rng.uniform() * levels);
      return level === 0 ? lowest : level / 3 - 2;
    });
    if (ascending) values.sort();
    const x = Tensor.from(wasm, values, [1, width]);
    const [found] = await largestColumns(x, n);
    x.dispose();
    const count = Math.min(n, width);
    const sorted = sortedColumns(values);
    const expected = sorted.length < count ? Array.from({ length: count }, (_, i) => i) : sorted.slice(0, count);
    expect(found).toEqual(expected.toSorted((a, b) => a - b));
  });

  it("are some of the row's where a value is NaN", async () => {
    for (const device of [wasm, createReferenceDevice()]) {
      for (const values of [
        [NaN, 1, 2, 3, 4, 5, 6, 7, 8],
        [1, 2, 3, 4, 5, 6, NaN, 8, 9],
        [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN],
      ]) {
        const [found] = await largestColumns(Tensor.from(device, Float32Array.from(values), [1, 9]), 4);
        expect(new Set(found).size).toBe(4);
        expect(found!.every((column) => column >= 0 && column < 9)).toBe(true);
        expect(found).toEqual(found!.toSorted((a, b) => a - b));
      }
    }
  });
});
