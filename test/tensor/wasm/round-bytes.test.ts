/** Weights are rounded to integers by a kernel here, and by integer-rows.ts elsewhere: the bits are the same. */
import { between, casesHere, fc, real, test } from "../../support/property.js";
import type { Device } from "early-exits/tensor";
import { expect, it } from "vitest";
import { devicesHere } from "../../support/devices.js";

type Case = readonly [rows: number, columns: number, dtype: "int8" | "int4"];

const { reference, wasm } = await devicesHere();

async function rounded(device: Device, data: Float32Array, [rows, columns, dtype]: Case) {
  const packed = device.createPacked(rows, columns, dtype);
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

const dtypes = fc.constantFrom("int8" as const, "int4" as const);
const cases = [between(1, 35), between(1, 70), dtypes, magnitudes, fc.array(value, { minLength: 1 })] as const;

test.prop([...cases], { numRuns: casesHere(800) })(
  "ties, tails, tiny and huge values, and what is not finite",
  async (rows, columns, dtype, magnitude, values) => {
    const data = Float32Array.from(
      { length: rows * columns },
      (_, i) => magnitude * values[(i * 7 + (i >> 5)) % values.length]!,
    );
    const given: Case = [rows, columns, dtype];
    expect(await rounded(wasm, data, given)).toEqual(await rounded(reference, data, given));
  },
);

it.each(["int8", "int4"] as const)(
  "%s: more rows than go through working memory at a time, none of which ends with a vector",
  async (dtype) => {
    const given: Case = [40, 16_385, dtype];
    const data = Float32Array.from({ length: 40 * 16_385 }, (_, i) => Math.sin(i * i));
    const [ours, theirs] = [await rounded(wasm, data, given), await rounded(reference, data, given)];
    expect(ours.findIndex((each, i) => each !== theirs[i])).toBe(-1);
  },
);
