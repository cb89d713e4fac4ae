/** The columns of the n largest values of rows: on the host, and on a device that finds them itself. */
import { between, casesHere, fc, test } from "../support/property.js";
import { Tensor, createRng } from "early-exits/tensor";
import { describe, expect } from "vitest";
import { largestColumns } from "../../src/tensor/ops/largest.js";
import { devicesHere } from "../support/devices.js";
import { times } from "../support/lists.js";

const value = fc.oneof(
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1, 1, 1.00001, -1, Infinity, -Infinity, 1e-40),
);

/** Larger values first, and of equal ones the lower columns; none with NaN. */
function sortedColumns(values: Float32Array) {
  const columns = Array.from(values.keys()).filter((column) => !Number.isNaN(values[column]));
  return columns.sort((a, b) => (values[a] === values[b] ? a - b : values[b]! - values[a]!));
}

describe.each(Object.values(await devicesHere()))("the largest columns of every row, on $backend", (device) => {
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
      const x = Tensor.from(device, Float32Array.from(rows.flatMap((row) => [...row])), [count, width]);
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
});
