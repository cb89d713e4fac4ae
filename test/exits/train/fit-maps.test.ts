/**
 * Closed-form fits: `solveRidge` finds the minimum, and `fitMaps` gives heads the map that brings a state closest to
 * the final one.
 */
import { between, fc, test } from "../../support/property.js";
import { attachHeads, type Model, serializeHeads } from "early-exits";
import { SINK_POSITIONS } from "../../../src/exits/states/batches.js";
import { type AffineFit, solveRidge } from "../../../src/exits/train/fit-maps.js";
import { atOnce } from "../../../src/turns.js";
import { fitMaps } from "early-exits/exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { sharedWasm } from "../../support/devices.js";
import { randomDocuments, smallModel } from "../../support/models.js";
import { sumOf } from "../../support/lists.js";

function randomRows(rows: number, width: number, seed: number) {
  const rng = createRng(seed);
  return Float32Array.from({ length: rows * width }, () => rng.normal());
}

/** The ridge's objective at a map: |Y - X·W - b|² + λ·mean(diag XᵀX)·|W|². */
function objective({ weight, bias }: AffineFit, x: Float32Array, y: Float32Array, ridge: number) {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const rows = x.length / inputs;
  let sum = 0;
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      let value = bias[o]!;
      for (let k = 0; k < inputs; k++) value += weight[o * inputs + k]! * x[r * inputs + k]!;
      sum += (value - y[r * outputs + o]!) ** 2;
    }
  }
  const meanSquare = sumOf(x, (value) => value * value) / inputs;
  return sum + ridge * meanSquare * sumOf(weight, (value) => value * value);
}

/** Normal equations of rows x [R, K] and y [R, N]. */
function equationsOf(x: Float32Array, y: Float32Array, inputs: number, outputs: number) {
  const rows = x.length / inputs;
  const gram = new Float64Array((inputs + 1) ** 2);
  const moment = new Float64Array((inputs + 1) * outputs);
  for (let r = 0; r < rows; r++) {
    const row = [...x.subarray(r * inputs, (r + 1) * inputs), 1];
    row.forEach((value, i) => {
      row.forEach((other, j) => (gram[i * (inputs + 1) + j]! += value * other));
      for (let o = 0; o < outputs; o++) moment[i * outputs + o]! += value * y[r * outputs + o]!;
    });
  }
  return { gram, moment };
}

const solve = (x: Float32Array, y: Float32Array, inputs: number, outputs: number, ridge: number) =>
  atOnce(solveRidge(equationsOf(x, y, inputs, outputs), ridge));

describe("solveRidge", () => {
  test.prop([between(1, 5), between(1, 3), between(1, 40), fc.constantFrom(1e-3, 0.1, 10), fc.nat()])(
    "is the minimum: every other map nearby is worse",
    (inputs, outputs, rows, ridge, seed) => {
      const x = randomRows(rows, inputs, seed);
      const y = randomRows(rows, outputs, seed + 1);
      const fit = solve(x, y, inputs, outputs, ridge);
      const best = objective(fit, x, y, ridge);
      const moved = (values: Float32Array, at: number, by: number) => values.with(at, values[at]! + by);
      for (const by of [0.05, -0.05]) {
        for (const at of fit.weight.keys()) {
          expect(objective({ ...fit, weight: moved(fit.weight, at, by) }, x, y, ridge)).toBeGreaterThan(best);
        }
        for (const at of fit.bias.keys()) {
          expect(objective({ ...fit, bias: moved(fit.bias, at, by) }, x, y, ridge)).toBeGreaterThan(best);
        }
      }
    },
  );

  it("fits as many rows as it has parameters exactly, without a ridge", () => {
    const [x, y] = [randomRows(5, 4, 1), randomRows(5, 3, 2)];
    expect(objective(solve(x, y, 4, 3, 0), x, y, 0)).toBeLessThan(1e-8);
  });

  it("refuses rows that do not determine a map", () =>
    expect(() => solve(randomRows(2, 3, 1), randomRows(2, 2, 2), 3, 2, 0)).toThrow(/not positive definite/));
});

/** Sum of squared distances of h / gain to the normalised final state, without the sink's positions. */
async function distance(model: Model, { weight, bias }: AffineFit, documents: readonly number[][]) {
  const { hiddenSize: c, normEpsilon } = model.config;
  const rms = (row: Float32Array) => {
    const square = sumOf(row, (value) => value * value) / c;
    return row.map((value) => value / Math.sqrt(square + normEpsilon));
  };
  let sum = 0;
  for (const document of documents) {
    const states = await model.hiddenStates(document);
    for (let s = SINK_POSITIONS; s < document.length; s++) {
      const x = rms(states[2]!.subarray(s * c, (s + 1) * c));
      const y = rms(states.at(-1)!.subarray(s * c, (s + 1) * c));
      for (let o = 0; o < c; o++) {
        const mapped = x.reduce((total, value, k) => total + weight[o * c + k]! * value, bias[o]!);
        sum += (mapped - y[o]!) ** 2;
      }
    }
  }
  return sum;
}

describe("fitMaps", () => {
  const documents = randomDocuments(12, 24);

  it("brings states closer to the final ones than the lens does, and any nearby map is further away", async () => {
    const model = await smallModel({ device: await sharedWasm(), gain: 3 });
    const heads = attachHeads(model, { exits: [2], kind: "linear" });
    const mapOf = async () => ({
      weight: await heads.heads[0]!.weights.tensors["map"]!.read(),
      bias: await heads.heads[0]!.weights.tensors["mapBias"]!.read(),
    });
    const lens = await distance(model, await mapOf(), documents);
    const before = await heads.hash();
    await fitMaps(heads, documents, { ridge: 1e-6, sequenceLength: 24 });
    expect(await heads.hash()).not.toBe(before);
    const fit = await mapOf();
    const best = await distance(model, fit, documents);
    expect(best).toBeLessThan(lens);
    for (const at of [0, 100, 575]) {
      const other = { ...fit, weight: fit.weight.with(at, fit.weight[at]! + 0.02) };
      expect(await distance(model, other, documents)).toBeGreaterThan(best);
    }
  });

  it("leaves heads without a closed form as they are", async () => {
    const model = await smallModel({ device: await sharedWasm() });
    const heads = attachHeads(model, { exits: [1, 2], kind: "dense" });
    const before = (await serializeHeads(heads)).weights;
    await fitMaps(heads, documents);
    expect((await serializeHeads(heads)).weights).toEqual(before);
  });
});
