/** The definition of products with integer weights: what activations become, and how far the product may lie. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GROUP, groupsOf } from "../../../src/tensor/integer-rows.js";
import { quantizeRow } from "../../../src/tensor/reference/integer-products.js";
import { createReferenceDevice } from "../../../src/tensor/reference/reference-device.js";
import { PackedMatrix, Tensor } from "../../../src/tensor/tensor.js";
import { linear } from "../../../src/tensor/ops/index.js";
import { createRng } from "../../../src/tensor/rng.js";

const draw = (seed: number, length: number, spread = 0): Float32Array => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal() * (rng.uniform() < spread ? 50 : 1));
};

describe("activations beside integer weights", () => {
  it("lie within half a step of their values, of 7 or 8 bits, or of twice as many in groups of large values", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 200 }), fc.constantFrom(4, 8), (seed, columns, bits) => {
        const x = draw(seed, columns, 0.02);
        const { integers, scales, totals } = quantizeRow(x, 0, columns, bits);
        const top = bits === 4 ? 127 : 63;
        for (let g = 0; g < groupsOf(columns); g++) {
          const group = x.subarray(g * GROUP, (g + 1) * GROUP);
          const found = integers.subarray(g * GROUP, (g + 1) * GROUP);
          const largest = group.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
          const most = found.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
          expect([top, top * (bits === 4 ? 256 : 128)]).toContain(most);
          expect(scales[g]).toBe(Math.fround(largest / most));
          const sum = found.reduce((total, value) => total + value, 0);
          expect(totals[g]).toBe(Math.fround(sum * scales[g]!));
          group.forEach((value, i) =>
            expect(Math.abs(found[i]! * scales[g]! - value)).toBeLessThanOrEqual(scales[g]! * (0.5 + most * 2 ** -22)),
          );
        }
      }),
    );
  });

  it("take twice the bits exactly where a group's largest value is above 1.2 times the row's mean", () => {
    const x = new Float32Array(96).fill(1);
    x[40] = 1.3; // the mean of 1, 1.3 and 1 is 1.1, and 1.2 times that 1.32
    expect(quantizeRow(x, 0, 96, 8).integers[40]).toBe(63);
    x[40] = 1.4; // 1.13 and 1.36
    expect(quantizeRow(x, 0, 96, 8).integers[40]).toBe(63 * 128);
    expect(quantizeRow(x, 0, 96, 8).integers[0]).toBe(63);
    expect(quantizeRow(x, 0, 96, 4).integers[40]).toBe(127 * 256);
  });

  it("are zeros where a group is all zeros or too small for a scale", () => {
    const { integers, scales, totals } = quantizeRow([0, 2 ** -120, -(2 ** -111)], 0, 3, 8);
    expect([...integers, ...scales, ...totals]).toEqual([0, 0, 0, 0, 0]);
  });
});

describe("products with integer weights", () => {
  it.each(["int8", "int4"] as const)(
    "of %s change with one row of x only, and not at all with others",
    async (dtype) => {
      const device = createReferenceDevice();
      const weight = PackedMatrix.from(device, draw(1, 20 * 70), [20, 70], dtype);
      const x = draw(2, 3 * 70, 0.02);
      const all = await linear(Tensor.from(device, x, [3, 70]), weight).read();
      x[71] = 100;
      const changed = await linear(Tensor.from(device, x, [3, 70]), weight).read();
      const rows = [0, 1, 2].map((r) => all.subarray(20 * r, 20 * r + 20).every((y, i) => y === changed[20 * r + i]));
      expect(rows).toEqual([true, false, true]);
    },
  );

  it("with float64 values use the values that the integers stand for: finite differences need that", async () => {
    const device = createReferenceDevice({ float64: true });
    const weight = PackedMatrix.from(device, draw(1, 4 * 40), [4, 40], "int4");
    const values = await weight.read();
    const x = draw(2, 40);
    const y = await linear(Tensor.from(device, x, [1, 40]), weight).read();
    y.forEach((found, n) => {
      const sum = x.reduce((total, value, k) => total + value * values[40 * n + k]!, 0);
      expect(found).toBe(Math.fround(sum));
    });
  });
});
