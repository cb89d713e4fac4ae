/** Weights as integers of four bits: exact where they can be, near elsewhere. */
import { describe, expect, it } from "vitest";
import { f16ToFloat32 } from "../../src/tensor/formats/half-floats.js";
import { decodeGguf, ggufIntegers } from "../../src/tensor/formats/gguf/decode.js";
import { ggufBlock, ggufTypes, integerForm } from "../../src/tensor/formats/gguf/types.js";
import { GROUP, groupsOf, integerValues, roundToInt4 } from "../../src/tensor/integer-rows.js";
import { createRng } from "../../src/tensor/rng.js";
import { sumOf, times } from "../support/lists.js";
import { between, fc, test } from "../support/property.js";

const isHalf = (x: number) => halves.has(x);
const halves = new Set(f16ToFloat32(Uint16Array.from({ length: 65_536 }, (_, i) => i)));

describe("rounding to int4", () => {
  test.prop([fc.nat(), between(1, 100), between(1, 3)])(
    "leaves at most half a step of the group's range, with float16 scales, whatever the number of columns",
    (seed, columns, rows) => {
      const rng = createRng(seed);
      const values = Float32Array.from({ length: rows * columns }, () => rng.normal() / 10);
      const form = roundToInt4(values, columns);
      const found = integerValues(form);
      expect([...form.scales, ...form.minimums].every(isHalf)).toBe(true);
      for (let at = 0; at < values.length; at += columns) {
        for (let k = 0; k < columns; k += GROUP) {
          const group = values.subarray(at + k, at + Math.min(columns, k + GROUP));
          const step = (Math.max(...group) - Math.min(...group)) / 15;
          const off = sumOf(group, (value, i) => (found[at + k + i]! - value) ** 2);
          const halfSteps = group.length * (step / 2 + 2 ** -10 * Math.max(...group.map(Math.abs)) + 3e-8) ** 2;
          expect(off).toBeLessThanOrEqual(halfSteps);
        }
      }
    },
  );

  test.prop([fc.nat(), between(1, 500), between(-500, 500)])(
    "finds values on a grid of float16 scale and minimum again, if they use both ends",
    (seed, d, m) => {
      const rng = createRng(seed);
      const q = times(GROUP, (i) => (i < 2 ? 15 * i : Math.floor(rng.uniform() * 16)));
      const values = Float32Array.from(q, (integer) => (integer * d + m) / 4096);
      const form = roundToInt4(values, GROUP);
      expect([...form.integers]).toEqual(q);
      expect(integerValues(form)).toEqual(values);
    },
  );

  it("keeps constant groups and zeros", () => {
    expect(integerValues(roundToInt4(new Float32Array(40), 40))).toEqual(new Float32Array(40));
    expect(integerValues(roundToInt4(new Float32Array(40).fill(0.25), 40))).toEqual(new Float32Array(40).fill(0.25));
  });
});

describe("blocks of GGUF files as integers", () => {
  const types = ggufTypes.filter((type) => integerForm(type) !== undefined);

  it("exist for six types", () => expect(types).toEqual(["Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K", "IQ4_NL"]));

  it.each(types)("of %s stand for the values of its decoder, bit for bit", (type) =>
    fc.assert(
      fc.property(fc.nat(), between(1, 5), (seed, blocks) => {
        const { bytes: size, elements } = ggufBlock(type);
        const rng = createRng(seed);
        const bytes = Uint8Array.from({ length: size * blocks }, () => Math.floor(rng.uniform() * 256));
        for (let at = 0; at < bytes.length; at += size) {
          bytes[at + 1]! &= 0xb7; // float16 below 2^5, so that all are finite
          if (type === "Q4_1" || type === "Q4_K") bytes[at + 3]! &= 0xb7;
        }
        const form = ggufIntegers(bytes, type, elements);
        expect(form.scales.length).toBe(blocks * groupsOf(elements));
        const expected = decodeGguf(bytes, type);
        expect(integerValues(form).every((value, i) => value === expected[i])).toBe(true);
        if (integerForm(type) !== "int4-floats") expect([...form.scales, ...form.minimums].every(isHalf)).toBe(true);
      }),
    ),
  );
});
