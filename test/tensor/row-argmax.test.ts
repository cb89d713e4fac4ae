/** A second finding of `rowArgmax`, beside the place of the largest value: whether a row holds NaN or Infinity. */
import { fc, test } from "../support/property.js";
import { Tensor } from "early-exits/tensor";
import { rowArgmax } from "../../src/tensor/ops/reduce.js";
import { describe, expect } from "vitest";
import { devicesHere } from "../support/devices.js";
import { times } from "../support/lists.js";

describe.each(Object.entries(await devicesHere()))("rowArgmax on %s", (_, device) => {
  test.prop([
    fc.array(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 19 }), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.nat(),
    fc.option(fc.constantFrom(NaN, Infinity)),
  ])("says of each row whether it is finite", async (drawn, place, bad) => {
    const width = drawn[0]!.length;
    const rows = drawn.map((row) => times(width, (i) => row[i] ?? 0));
    const at = place % (rows.length * width);
    const values = rows.flat().map((value, i) => (bad !== null && i === at ? bad : value));
    const best = await rowArgmax(Tensor.from(device, values, [rows.length, width])).read();
    for (const [r, row] of rows.entries()) {
      const spoilt = bad !== null && Math.floor(at / width) === r;
      expect(Number.isFinite(best[3 * r + 2])).toBe(!spoilt);
      if (!spoilt) expect(best[3 * r]).toBe(row.map(Math.fround).indexOf(Math.fround(Math.max(...row))));
    }
  });
});
