/** Weights are rounded to bytes by a kernel here, and by integer-rows.ts elsewhere: the bits are the same. */
import { between, casesHere, fc, real, test } from "../../support/property.js";
import type { Device } from "early-exits/tensor";
import { expect, it } from "vitest";
import { devicesHere } from "../../support/devices.js";

const { reference, wasm } = await devicesHere();

async function rounded(device: Device, data: Float32Array, rows: number, columns: number) {
  const packed = device.createPacked(rows, columns, "int8");
  device.packRows(packed, 0, data);
  const values = await device.readPacked(packed);
  device.freePacked(packed);
  return Array.from(values, (each) => each + 0); // the scale of a group of NaN is zero, whose sign does not matter
}

const magnitudes = fc.constantFrom(2 ** -140, 2 ** -24, 2 ** -14, 1e-3, 1, 60_000, 2 ** 24, 1e30);
const value = fc.oneof(
  { weight: 20, arbitrary: real(-1, 1) },
  { weight: 3, arbitrary: between(-254, 254).map((n) => n / 254) }, // halves of levels
  { weight: 1, arbitrary: fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 65_519.99, 65_536) },
);

test.prop([between(1, 35), between(1, 70), magnitudes, fc.array(value, { minLength: 1 })], { numRuns: casesHere(500) })(
  "ties, tails, tiny and huge values, and what is not finite",
  async (rows, columns, magnitude, values) => {
    const data = Float32Array.from(
      { length: rows * columns },
      (_, i) => magnitude * values[(i * 7 + (i >> 5)) % values.length]!,
    );
    expect(await rounded(wasm, data, rows, columns)).toEqual(await rounded(reference, data, rows, columns));
  },
);

it("more rows than go through working memory at a time, none of which ends with a vector", async () => {
  const [rows, columns] = [40, 16_385];
  const data = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * i));
  const [ours, theirs] = [await rounded(wasm, data, rows, columns), await rounded(reference, data, rows, columns)];
  expect(ours.findIndex((each, i) => each !== theirs[i])).toBe(-1);
});
