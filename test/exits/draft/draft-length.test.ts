/**
 * Draft lengths: fixed, by the product of probabilities, and the adaptive plan beside the fixed length that is best in
 * hindsight.
 */
import { fc, test } from "@fast-check/vitest";
import { createRng } from "early-exits/tensor";
import type { UnitCosts } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { draftPlans } from "../../../src/exits/draft/draft-length.js";
import type { Draft } from "../../../src/exits/draft/draft-plan.js";
import { growingCosts } from "../../../src/exits/cost/unit-costs.js";

const draft = (probability: number, exit = 0, depth = 4): Draft => ({
  id: 1,
  depth,
  exit,
  confidence: { argmax: 1, top1: Math.log(probability), top2: -9, logSumExp: 0, entropy: 1 },
});
const LAYERS = 12;
const costs: UnitCosts = { block: growingCosts(1, 0.1), heads: [1], finalHead: growingCosts(1, 0.1) };
const PLAIN = LAYERS + 1;
/** Cost of a draft at depth 4: its blocks and head, and a further row in the verification. */
const DRAFT = 4 + 1 + 0.1 * (8 + 1);

/** Tokens per unit of cost over many rounds of drafts that are right with probability alpha. */
function play(plan: ReturnType<ReturnType<typeof draftPlans>>, alpha: number, { rounds = 400, seed = 1 } = {}): number {
  const rng = createRng(seed);
  let tokens = 0;
  let cost = 0;
  for (let round = 0; round < rounds; round++) {
    const drafts: Draft[] = [];
    while (plan.more(drafts) && drafts.length < 50) drafts.push(draft(0.5));
    let accepted = 0;
    while (accepted < drafts.length && rng.uniform() < alpha) accepted++;
    plan.learn(drafts, accepted);
    tokens += accepted + 1;
    cost += PLAIN + drafts.length * DRAFT;
  }
  return tokens / cost;
}

const expected = (alpha: number, length: number): number =>
  (1 - alpha ** (length + 1)) / (1 - alpha) / (PLAIN + length * DRAFT);

describe("draft length", () => {
  it("golden: the tokens per round of the formula, γ = 4", () => {
    for (const [alpha, tokens] of [
      [0.5, 1.9375],
      [0.7, 2.7731],
      [0.8, 3.3616],
      [0.9, 4.0951],
    ] as const) {
      expect(expected(alpha, 4) * (PLAIN + 4 * DRAFT)).toBeCloseTo(tokens, 4);
      // and when played: within four standard errors of the mean of 20,000 rounds
      const rounds = 20_000;
      const played = play(draftPlans(LAYERS, costs, { draftLimit: 4 })(), alpha, { rounds });
      expect(Math.abs(played * (PLAIN + 4 * DRAFT) - tokens)).toBeLessThan((4 * 1.8) / Math.sqrt(rounds));
    }
  });

  it("a fixed limit is kept, and the product of probabilities may end drafting before it", () => {
    const fixed = draftPlans(LAYERS, costs, { draftLimit: 2 })();
    const product = draftPlans(LAYERS, costs, { draftLimit: 5, minProduct: 0.3 })();
    expect([[], [draft(0.1)], [draft(0.1), draft(0.1)]].map((drafts) => fixed.more(drafts))).toEqual([
      true,
      true,
      false,
    ]);
    expect(
      [[], [draft(0.6)], [draft(0.6), draft(0.6)], [draft(0.6), draft(0.4)]].map((drafts) => product.more(drafts)),
    ).toEqual([true, true, true, false]);
    expect(product.more(Array.from({ length: 5 }, () => draft(1)))).toBe(false);
  });

  test.prop([fc.double({ min: 0.05, max: 0.95, noNaN: true }), fc.nat(1000)], { numRuns: 40 })(
    "adaptive: within 20 % of the fixed length that is best in hindsight, 0 included",
    (alpha, seed) => {
      const best = Math.max(
        1 / PLAIN,
        ...[1, 2, 3, 4, 6, 8, 12, 16].map((length) =>
          play(draftPlans(LAYERS, costs, { draftLimit: length })(), alpha, { seed }),
        ),
      );
      expect(play(draftPlans(LAYERS, costs, {})(), alpha, { seed })).toBeGreaterThan(0.8 * best);
    },
  );

  it("adaptive drafts longer the more is accepted, hardly at all if nothing is, and the same every time", () => {
    const lengthAfter = (alpha: number): number => {
      const plan = draftPlans(LAYERS, costs, {})();
      play(plan, alpha);
      const drafts: Draft[] = [];
      while (plan.more(drafts) && drafts.length < 50) drafts.push(draft(0.5));
      return drafts.length;
    };
    expect([0.5, 0.8, 0.95].map(lengthAfter)).toEqual([0.5, 0.8, 0.95].map(lengthAfter));
    expect(lengthAfter(0.95)).toBeGreaterThan(lengthAfter(0.8));
    expect(play(draftPlans(LAYERS, costs, {})(), 0)).toBeGreaterThan(0.9 / PLAIN);
  });

  it("adaptive fills pairs of rows if kernels take rows in pairs", () => {
    const inPairs: UnitCosts = {
      block: [1, 1, 2, 2, 3, 3].map((cost, i) => ({ rows: i + 1, cost })),
      heads: [0.2],
      finalHead: growingCosts(1, 0),
    };
    const lengths = new Set<number>();
    const plan = draftPlans(LAYERS, inPairs, {})();
    const rng = createRng(1);
    for (let round = 0; round < 300; round++) {
      const drafts: Draft[] = [];
      while (plan.more(drafts) && drafts.length < 20) drafts.push(draft(0.5));
      let accepted = 0;
      while (accepted < drafts.length && rng.uniform() < 0.7) accepted++;
      plan.learn(drafts, accepted);
      if (round > 100) lengths.add(drafts.length);
    }
    // With an even number of drafts, the rows are odd, and the last one would cost as much as two.
    expect([...lengths].filter((length) => length % 2 === 0)).toEqual([]);
    expect(lengths.size).toBeGreaterThan(0);
  });

  it("adaptive relies on the head's own probability until it has counted drafts", () => {
    const plan = draftPlans(LAYERS, costs, {})();
    expect(plan.more([draft(0.99), draft(0.99)])).toBe(true);
    expect(plan.more([draft(0.05), draft(0.05)])).toBe(false);
  });

  it("options out of range are refused", () => {
    expect(() => draftPlans(LAYERS, costs, { draftLimit: -1 })).toThrow(/draftLimit/);
    expect(() => draftPlans(LAYERS, costs, { minProduct: 2 })).toThrow(/minProduct/);
  });
});
