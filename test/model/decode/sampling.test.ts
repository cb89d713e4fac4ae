/** Sampling: processors in cases computed by hand, draws by their distribution. */
import { between, fc, real, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { checkSampling, processedDistribution } from "../../../src/model/decode/sampling.js";
import { sampleFrom } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { sumOf } from "../../support/lists.js";

const logits = Float32Array.of(1, 3, 2, 3, -1);
const p = (options: Parameters<typeof checkSampling>[0], seen: number[] = []) =>
  Array.from(processedDistribution(logits, seen, checkSampling(options)));
const softmax = (z: readonly number[]) => {
  const total = sumOf(z, (value) => Math.exp(value));
  return z.map((value) => Math.exp(value) / total);
};
const expectClose = (a: readonly number[], b: readonly number[]) =>
  a.forEach((value, i) => expect(value).toBeCloseTo(b[i]!, 12));

describe("processedDistribution", () => {
  it("is one-hot at temperature 0, on the lowest of equal ids", () => expect(p({})).toEqual([0, 1, 0, 0, 0]));
  it("is the softmax of logits / temperature", () =>
    expectClose(p({ temperature: 2 }), softmax([0.5, 1.5, 1, 1.5, -0.5])));
  it("is the argmax, or equal among several, at temperatures that a float64 can hardly divide by", () =>
    expectClose(p({ temperature: 5e-324 }), [0, 0.5, 0, 0.5, 0]));
  it("topP just below 1 keeps all", () =>
    expectClose(p({ temperature: 1, topP: 1 - 2 ** -53 }), softmax(Array.from(logits))));
  it("the repetition penalty divides positive and multiplies negative logits of seen tokens, once", () => {
    expectClose(p({ temperature: 1, repetitionPenalty: 2 }, [1, 1, 4]), softmax([1, 1.5, 2, 3, -2]));
    expect(p({ repetitionPenalty: 2 }, [1, 3])).toEqual([0, 0, 1, 0, 0]);
  });
  test.prop([
    fc.array(real(-1000, 1000), { minLength: 1, maxLength: 20 }),
    real(0.01, 10),
    fc.nat(20),
    real(0, 1),
    real(0, 1),
  ])("always sums to 1, without NaN", (z, temperature, topK, topP, minP) => {
    const q = processedDistribution(
      Float32Array.from(z),
      [0],
      checkSampling({ temperature, topK, topP, minP, repetitionPenalty: 1.3 }),
    );
    expect(sumOf(q)).toBeCloseTo(1, 9);
    expect(q.every((value) => value >= 0)).toBe(true);
  });
  test.prop(
    [
      fc.array(between(-12, 3), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0.3, 1, 2),
      fc.nat(45),
      fc.oneof(fc.constant(1), real(0, 0.999)),
      real(0, 0.3),
    ],
    { numRuns: 300 },
  )(
    "equals the result of sorting all tokens, ties included: topK, then topP, then minP",
    (z, temperature, topK, topP, minP) => {
      const likelihood = z.map((value) => Math.exp((value - Math.max(...z)) / temperature));
      const ranked = z
        .map((_, id) => id)
        .sort((a, b) => z[b]! - z[a]! || a - b)
        .slice(0, topK > 0 ? topK : z.length);
      const masses = ranked.map((_, i) => sumOf(ranked.slice(0, i + 1), (id) => likelihood[id]!));
      const wanted = topP * masses.at(-1)!;
      fc.pre(topP === 1 || masses.every((mass) => Math.abs(mass - wanted) > 1e-9)); // otherwise rounding decides
      const kept =
        topP === 1 ? ranked.length : Math.max(1, masses.filter((mass) => mass < wanted).length + Number(wanted > 0));
      const stays = ranked.slice(0, kept).filter((id) => likelihood[id]! >= minP);
      const rest = sumOf(stays, (id) => likelihood[id]!);
      const q = processedDistribution(Float32Array.from(z), [], checkSampling({ temperature, topK, topP, minP }));
      expectClose(
        Array.from(q),
        z.map((_, id) => (stays.includes(id) ? likelihood[id]! / rest : 0)),
      );
    },
  );
  it("refuses options outside their range", () => {
    expect(() => checkSampling({ temperature: -1 })).toThrow(/temperature: expected a number in \[0, 100\], found -1/);
    expect(() => checkSampling({ topP: 1.5 })).toThrow(/topP/);
    expect(() => checkSampling({ topK: 0.5 })).toThrow(/topK/);
    expect(() => checkSampling({ repetitionPenalty: 0 })).toThrow(/repetitionPenalty/);
  });
});

it("draws follow the distribution (chi-square, 4 degrees of freedom, critical value at p = 1e-6)", () => {
  const q = Float64Array.of(0.1, 0.4, 0, 0.2, 0.25, 0.05);
  const rng = createRng(7);
  const n = 50_000;
  const counts = new Array<number>(6).fill(0);
  for (let i = 0; i < n; i++) counts[sampleFrom(q, rng)]!++;
  expect(counts[2]).toBe(0);
  const chi = sumOf(q, (share, i) => (share === 0 ? 0 : (counts[i]! - n * share) ** 2 / (n * share)));
  expect(chi).toBeLessThan(34);
});
