/** Tuned drafting from a file: what tuning writes is read, and every field outside its range is refused. */
import { EarlyExitError } from "early-exits";
import { draftingFrom } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";

const byRows = [
  { rows: 1, cost: 1 },
  { rows: 2, cost: 1.5 },
];
const sound = {
  format: "early-exits/drafting",
  version: 1,
  policy: {
    format: "early-exits/policy",
    version: 1,
    score: "margin",
    fill: "lazy",
    exits: [{ depth: 2, threshold: 1 }],
  },
  lossless: {
    draftLimit: "adaptive",
    minProduct: 0,
    costs: { block: byRows, heads: [0.1], finalHead: byRows },
    acceptance: { score: "margin", rate: 1, exits: [[{ from: "always", share: 0.5, accepted: 0.9 }]] },
  },
  expected: { tokens: 1, rounds: 1, drafted: 0, accepted: 0, cost: 1, plainCost: 1 },
};

describe("draftingFrom", () => {
  it("reads what tuning writes", () => {
    expect(draftingFrom(sound)).toEqual(sound);
    expect(draftingFrom({ format: "early-exits/policy" })).toBeUndefined();
  });

  const { lossless } = sound;
  it.each([
    { lossless: undefined },
    { lossless: { ...lossless, draftLimit: 1.5 } },
    { lossless: { ...lossless, draftLimit: -1 } },
    { lossless: { ...lossless, draftLimit: 2 ** 53 } },
    { lossless: { ...lossless, draftLimit: "many" } },
    { lossless: { ...lossless, minProduct: -0.1 } },
    { lossless: { ...lossless, minProduct: "1" } },
    { lossless: { ...lossless, costs: { ...lossless.costs, heads: ["x"] } } },
    { lossless: { ...lossless, costs: { ...lossless.costs, heads: [0.1, 0.2] } } },
    { lossless: { ...lossless, costs: { ...lossless.costs, block: [{ rows: 1.5, cost: 1 }] } } },
    { lossless: { ...lossless, costs: { ...lossless.costs, block: [byRows[1], byRows[0]] } } },
    { lossless: { ...lossless, acceptance: { ...lossless.acceptance, score: "constructor" } } },
    { lossless: { ...lossless, acceptance: { ...lossless.acceptance, rate: NaN } } },
    {
      lossless: {
        ...lossless,
        acceptance: { ...lossless.acceptance, exits: [[{ from: "x", share: 1, accepted: 1 }]] },
      },
    },
    { lossless: { ...lossless, acceptance: { ...lossless.acceptance, exits: [[null]] } } },
  ])("refuses %j", (change) => {
    expect(() => draftingFrom({ ...sound, ...change })).toThrow(EarlyExitError);
  });
});
