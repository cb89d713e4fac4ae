/** The columns of the n largest values of rows: on the host, and on a device that finds them itself. */
import { between, casesHere, fc, test } from "../support/property.js";
import { Tensor } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { createRng } from "../../src/tensor/rng.js";
import { largest, largestColumns } from "../../src/tensor/ops/largest.js";
import { devicesHere } from "../support/devices.js";
import { times } from "../support/lists.js";

const { reference, wasm } = await devicesHere();
const value = fc.oneof(
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1, 1, 1.00001, -1, Infinity, -Infinity, 1e-40),
);

/** Larger values first, and of equal ones the lower columns; none with NaN. */
function sortedColumns(values: Float32Array) {
  const columns = Array.from(values.keys()).filter((column) => !Number.isNaN(values[column]));
  return columns.sort((a, b) => (values[a] === values[b] ? a - b : values[b]! - values[a]!));
}

test.prop([fc.array(value, { minLength: 1, maxLength: 60 }), between(1, 70)])(
  "the largest values of a list are those of a full sort, and come in order of their columns",
  (list, n) => {
    const values = Float32Array.from(list);
    const found = largest(values, n);
    const sorted = sortedColumns(values).slice(0, n);
    // A negative zero counts as less than zero here.
    expect(found.map((i) => values[i]! + 0).toSorted()).toEqual(sorted.map((i) => values[i]! + 0).toSorted());
    expect(found).toEqual(found.toSorted((a, b) => a - b));
  },
);

describe("the largest columns of every row", () => {
  // Rows of many blocks: few values that are not equal, some that are NaN, and the largest side by side or far apart.
  const given = fc.record({
    seed: fc.integer(),
    count: between(1, 4),
    width: fc.oneof(between(1, 130), between(1, 2000)),
    n: fc.oneof(between(1, 40), between(1, 2100)),
    levels: fc.array(value, { minLength: 1, maxLength: 200 }),
    nan: fc.constantFrom(0, 0, 0.1, 0.9),
    ascending: fc.boolean(),
  });
  test.prop([given], { numRuns: casesHere(400) })(
    "are those of a full sort, lower columns first among equals",
    async (drawn) => {
      const { seed, count, width, n, levels, nan, ascending } = drawn;
      const rng = createRng(seed);
      const rows = times(count, () => {
        const row = Float32Array.from({ length: width }, () =>
          rng.uniform() < nan ? NaN : levels[rng.integer(levels.length)]!,
        );
        return ascending ? row.sort() : row;
      });
      const x = Tensor.from(wasm, Float32Array.from(rows.flatMap((row) => [...row])), [count, width]);
      const found = await largestColumns(x, n);
      x.dispose();
      const wanted = Math.min(n, width);
      for (const [r, row] of rows.entries()) {
        const sorted = sortedColumns(row);
        const expected = sorted.length < wanted ? times(wanted, (i) => i) : sorted.slice(0, wanted);
        expect(found[r]).toEqual(expected.toSorted((a, b) => a - b));
      }
    },
  );

  it("are some of the row's where a value is NaN", async () => {
    for (const device of [wasm, reference]) {
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
