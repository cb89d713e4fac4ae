/** Break-even: golden tokens per round, costs that are easy to check by hand, and laws that hold for any costs. */
import { between, fc, real, test } from "../../support/property.js";
import { planExits } from "early-exits";
import { readModelConfig } from "early-exits/model";
import {
  bestDraftLength,
  blockCost,
  breakEven,
  headCost,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
  tokensPerRound,
  usualHeads,
} from "early-exits/exits";
import { costOfRows, growingCosts } from "../../../src/exits/cost/unit-costs.js";
import { losslessCost } from "../../../src/exits/plan/break-even.js";
import { describe, expect, it } from "vitest";

const pythia70m = readModelConfig({
  model_type: "gpt_neox",
  hidden_size: 512,
  num_attention_heads: 8,
  num_hidden_layers: 6,
  intermediate_size: 2048,
  vocab_size: 50_304,
});

it.each([
  [0.5, 1.9375],
  [0.7, 2.7731],
  [0.8, 3.3616],
  [0.9, 4.0951],
  [1, 5],
  [0, 1],
])("four drafts at acceptance %d give %d tokens a round", (acceptance, golden) =>
  expect(tokensPerRound(acceptance, 4)).toBeCloseTo(golden, 4),
);

/** Ten blocks of 1, a final head of 2, one exit at depth 4 with a head of 2 and a fill of 1; further rows are free. */
const costs: PlanCosts = {
  numLayers: 10,
  depths: [4],
  block: growingCosts(1, 0),
  finalHead: growingCosts(2, 0),
  heads: [2],
  fills: [1],
};

describe("costs", () => {
  it("a token that leaves costs its blocks, heads and fill; one that stays costs plain decoding and all heads", () => {
    expect(plainCost(costs)).toBe(12);
    expect([lossyCost(costs, [1]), lossyCost(costs, [0]), lossyCost(costs, [0.5])]).toEqual([7, 14, 10.5]);
    const two: PlanCosts = { ...costs, depths: [2, 6], heads: [1, 3], fills: [2, 1] };
    expect(lossyCost(two, [0.5, 0.5])).toBe(0.5 * (2 + 1 + 2) + 0.25 * (6 + 4 + 1) + 0.25 * (12 + 4));
  });

  it("a single exit breaks even at the coverage where its head costs what leaving saves", () => {
    const { coverage, limit } = breakEven(costs);
    expect(coverage).toBeCloseTo(2 / (6 + 2 - 1), 5); // h / ((L - d)·b + u - f)
    expect(limit).toBeCloseTo(12 / 7, 12);
    expect(breakEven({ ...costs, heads: [8] }).coverage).toBeNull();
  });

  it("a round of lossless decoding costs its drafts, and one run of the blocks above for all rows", () => {
    expect(losslessCost(costs, 0, 1, 3)).toBe((3 * (4 + 2) + 4 + 6 + 2) / 4);
    expect(bestDraftLength(costs, 0, 0).speedup).toBeLessThan(1);
    expect(bestDraftLength(costs, 0, 1).draftLength).toBe(16);
    expect(
      bestDraftLength({ ...costs, block: growingCosts(1, 1), finalHead: growingCosts(2, 1) }, 0, 1).speedup,
    ).toBeLessThan(1); // rows that share nothing gain nothing
  });

  test.prop([
    fc.record({
      numLayers: between(2, 12),
      head: real(0, 9),
      fill: real(0, 2),
      final: real(0, 9),
      further: real(0, 1),
    }),
    real(0, 1),
  ])(
    "at the break-even coverage, decoding costs what plain decoding costs; a more expensive head never lowers it",
    ({ numLayers, head, fill, final, further }, more) => {
      const at = (cost: number) => ({
        numLayers,
        depths: [1],
        heads: [cost],
        fills: [fill],
        block: growingCosts(1, further),
        finalHead: growingCosts(final, 0),
      });
      const { coverage, lossless } = breakEven(at(head));
      if (coverage !== null && coverage > 1e-5) {
        expect(lossyCost(at(head), [coverage])).toBeCloseTo(plainCost(at(head)), 3);
      }
      if (coverage === null) expect(lossyCost(at(head), [1])).toBeGreaterThan(plainCost(at(head)));
      const costlier = breakEven(at(head + more));
      expect(costlier.coverage ?? 2).toBeGreaterThanOrEqual((coverage ?? 2) - 1e-5);
      expect(costlier.lossless.acceptance ?? 2).toBeGreaterThanOrEqual((lossless.acceptance ?? 2) - 1e-5);
    },
  );
});

describe("plans from a configuration", () => {
  it("pythia-70m: about two thirds of the tokens must leave at a dense head, far fewer at one with a preview", () => {
    const rows = planExits(pythia70m);
    const single = (kind: string) => rows.find((row) => row.kind === kind && row.depths.length === 1)!;
    // Depth 4 of 6: a dense head (7.6 blocks) against two blocks and the final head (7.6 blocks), minus the fill.
    const block = blockCost(pythia70m);
    const head = headCost(pythia70m, { kind: "dense" });
    expect(single("dense").depths).toEqual([4]);
    expect(single("dense").coverage).toBeCloseTo(head / (2 * block + head - 2 * 2 * 512 * 512), 4);
    expect(single("linearPreview").coverage!).toBeLessThan(single("dense").coverage! / 2);
    expect(rows).toHaveLength(3 * 3);
  });

  it("a screened unembedding leaves exits less to save: the limit falls with the final head's share", () => {
    const limitAt = (finalHeadShare: number) =>
      planExits(pythia70m, { exits: [1], finalHeadShare }).find(({ kind }) => kind === "linearPreview")!.limit;
    expect(limitAt(0.25)).toBeLessThan(limitAt(1));
    expect(() => limitAt(1.1)).toThrow("finalHeadShare");
  });

  it("lazy filling saves the final head's multiply-adds and no others", () => {
    const lazy = planExits(pythia70m, { fill: "lazy", exits: [1] }).find(({ kind }) => kind === "linearPreview")!;
    expect(lazy.coverage).toBeCloseTo(
      headCost(pythia70m, usualHeads(pythia70m).linearPreview) / headCost(pythia70m, { kind: "dense" }),
      4,
    );
  });
});

it("measured times become costs: blocks and the final head by rows", () => {
  const measured = measuredCosts(4, [2], {
    block: [
      { rows: 1, cost: 2 },
      { rows: 3, cost: 4 },
    ],
    heads: [1],
    finalHead: [
      { rows: 1, cost: 10 },
      { rows: 3, cost: 20 },
    ],
    fills: [{ blocks: 2, cost: 5 }],
  });
  expect(costOfRows(measured.finalHead, 3)).toBe(20);
  expect(lossyCost(measured, [1])).toBe(2 * 2 + 1 + 5);
});
