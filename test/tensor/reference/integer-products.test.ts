/** The definition of products with integer weights: what activations become, and how far the product may lie. */
import { describe, expect, it } from "vitest";
import { GROUP, groupsOf } from "../../../src/tensor/integer-rows.js";
import { quantizeRow } from "../../../src/tensor/reference/integer-products.js";
import { createReferenceDevice } from "../../../src/tensor/reference/reference-device.js";
import { PackedMatrix, Tensor } from "../../../src/tensor/tensor.js";
import { linear } from "../../../src/tensor/ops/matmul.js";
import { createRng } from "../../../src/tensor/rng.js";
import { sumOf } from "../../support/lists.js";
import { between, fc, test } from "../../support/property.js";

const draw = (seed: number, length: number, spread = 0) => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal() * (rng.uniform() < spread ? 50 : 1));
};

describe("activations beside integer weights", () => {
  test.prop([fc.nat(), between(1, 200), fc.constantFrom(4, 8)])(
    "lie within half a step of their values, of 7 or 8 bits, or of twice as many in groups of large values",
    (seed, columns, bits) => {
      const x = draw(seed, columns, 0.02);
      const { integers, scales, totals } = quantizeRow(x, 0, columns, bits);
      for (let g = 0; g < groupsOf(columns); g++) {
        const group = x.subarray(g * GROUP, (g + 1) * GROUP);
        const found = integers.subarray(g * GROUP, (g + 1) * GROUP);
        const [low, high] = [Math.min(0, ...group), Math.max(0, ...group)];
        const largest = Math.max(high, -low);
        const scale = scales[g]!;
        const wide = bits === 4 ? largest / (127 * 256) : largest / (63 * 128);
        if (scale !== Math.fround(wide)) {
          const size = bits === 4 ? largest : Math.fround(high / 2) - Math.fround(low / 2);
          expect(scale).toBe(Math.fround(Math.fround(size) / (bits === 4 ? 127 : 63.25)));
          // what is stored: signed, or from 0 with the group's offset
          const span = Math.max(0, ...found) - Math.min(0, ...found);
          if (bits === 8) expect(span).toBeLessThanOrEqual(127);
        }
        const most = Math.max(...found.map(Math.abs));
        expect(most).toBeLessThanOrEqual(scale === Math.fround(wide) ? 127 * 256 : 127);
        const sum = sumOf(found);
        expect(totals[g]).toBe(Math.fround(sum * scale));
        group.forEach((value, i) =>
          expect(Math.abs(found[i]! * scale - value)).toBeLessThanOrEqual(scale * (0.5 + most * 2 ** -22)),
        );
      }
    },
  );

  it("take twice the bits exactly where a group's largest value is above 1.1 times the row's mean", () => {
    const x = new Float32Array(96).fill(1);
    x[40] = 1.15; // the mean of 1, 1.15 and 1 is 1.05, and 1.1 times that 1.155
    expect(quantizeRow(x, 0, 96, 4).integers[40]).toBe(127);
    expect(quantizeRow(x, 0, 96, 8).integers[40]).toBe(126); // all of 0..126.5, for values that are not negative
    x[40] = 1.25; // 1.08 and 1.19
    expect(quantizeRow(x, 0, 96, 8).integers[40]).toBe(63 * 128);
    expect(quantizeRow(x, 0, 96, 8).integers[0]).toBe(126);
    expect(quantizeRow(x, 0, 96, 4).integers[40]).toBe(127 * 256);
    x[39] = -1.25; // half of the range of this group and of the others: 1.25, .5 and .5
    expect(quantizeRow(x, 0, 96, 8).integers[40]).toBe(63 * 128);
  });

  it("are zeros where a group is all zeros or too small for a scale", () => {
    const { integers, scales, totals } = quantizeRow([0, 2 ** -120, -(2 ** -111)], 0, 3, 8);
    expect([...integers, ...scales, ...totals]).toEqual([0, 0, 0, 0, 0]);
  });
});

it("products in float64 use the values that integer weights stand for: finite differences need that", async () => {
  const device = createReferenceDevice({ float64: true });
  const weight = PackedMatrix.from(device, draw(1, 4 * 40), [4, 40], "int4");
  const values = await weight.read();
  const x = draw(2, 40);
  const y = await linear(Tensor.from(device, x, [1, 40]), weight).read();
  y.forEach((found, n) => {
    const sum = sumOf(x, (value, k) => value * values[40 * n + k]!);
    expect(found).toBe(Math.fround(sum));
  });
});
