/**
 * Drafting by expected gain, fitted: monotone classes and their shares, the thresholds that follow from them, and
 * decoding that does what the replay predicted.
 */
import { attachHeads, createPolicy, type ExitHeads, generate, scoreNames } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import type { UnitCosts } from "early-exits/exits";
import { type DraftingRecords, recordDrafting } from "early-exits/calibrate";
import { beforeAll, describe, expect, it } from "vitest";
import { tuneGain } from "../../../src/calibrate/drafting/tune-gain.js";
import { draftCost } from "../../../src/exits/draft/draft-plan.js";
import { exitFires, orientScore } from "../../../src/exits/heads/score.js";
import { growingCosts } from "../../../src/exits/cost/unit-costs.js";
import { finish } from "../../support/lossless.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

const prompts = [1, 3, 6, 9, 12, 15, 18, 21].map((length) => randomIds(length, 61, length));
const options = { maxNewTokens: 24, stopAtEndOfText: false };
const costs: UnitCosts = {
  block: [
    { rows: 1, cost: 1 },
    { rows: 2, cost: 1.1 },
    { rows: 3, cost: 1.6 },
  ],
  heads: [0.1, 0.1, 0.1],
  finalHead: growingCosts(1, 0.2),
};
const all = [true, true, true];
let heads: ExitHeads;
let records: DraftingRecords;
beforeAll(async () => {
  heads = attachHeads(await smallModel({ config: smallConfigs["llama"]!, device: createReferenceDevice(), gain: 2 }), {
    exits: [1, 2, 3],
  });
  records = await recordDrafting(heads, prompts, options);
});

describe("drafting by expected gain, fitted", () => {
  it.for(scoreNames)(
    "%s: classes ascend in oriented score and in acceptance, starting at always, and their shares are of all tries",
    (score) => {
      const { acceptance } = tuneGain(records, score, all, costs);
      expect(acceptance.score).toBe(score);
      let reached = 1; // the share that the exits before leave over
      for (const classes of acceptance.exits) {
        if (classes.length === 0) continue;
        expect(classes[0]!.from).toBe("always");
        expect(classes.reduce((sum, { share }) => sum + share, 0)).toBeLessThanOrEqual(reached + 1e-9);
        classes.slice(1).forEach(({ from, accepted }, i) => {
          const before = classes[i]!;
          expect(accepted).toBeGreaterThan(before.accepted);
          if (i > 0) {
            expect(orientScore(from as number, score)).toBeGreaterThanOrEqual(
              orientScore(before.from as number, score),
            );
          }
        });
        reached = classes.reduce((sum, { share }) => sum + share, 0);
      }
    },
  );

  it("a threshold is the start of the first class whose drafts are worth their cost", () => {
    const {
      thresholds,
      acceptance: { rate, exits },
    } = tuneGain(records, "margin", all, costs);
    expect(thresholds.some((threshold) => threshold !== "never")).toBe(true);
    thresholds.forEach((threshold, exit) => {
      const worth = rate * draftCost(4, costs, records.depths[exit]!, 1);
      for (const { from, accepted } of exits[exit]!) {
        const fires = threshold === "always" || (from !== "always" && exitFires(from as number, threshold, "margin"));
        expect(fires).toBe(accepted > worth);
      }
    });
  });

  it("an exit that may not draft never drafts, and exits that cost too much draft nothing", () => {
    expect(
      tuneGain(records, "maxProb", [false, true, false], costs).thresholds.map((threshold) => threshold === "never"),
    ).toEqual([true, false, true]);
    const { outcome } = tuneGain(records, "maxProb", all, { ...costs, heads: [50, 50, 50] });
    expect([outcome.drafted, outcome.rounds]).toEqual([0, outcome.tokens]);
  });

  it("decoding with it gives the plain text, in about as many rounds as the replay", async () => {
    const { thresholds, acceptance, outcome } = tuneGain(records, "margin", all, costs);
    const policy = createPolicy(heads, thresholds, { score: "margin" });
    let rounds = 0;
    let drafted = 0;
    for (const prompt of prompts) {
      const summary = await finish(generate(heads, prompt, { ...options, policy, lossless: { costs, acceptance } }));
      expect(summary.ids).toEqual((await finish(generate(heads, prompt, options))).ids);
      rounds += summary.rounds;
      drafted += summary.drafted;
    }
    expect(outcome.drafted).toBeGreaterThan(0);
    // Drafts after a wrong draft were not recorded. They are rejected, but may differ from the replayed ones.
    expect(Math.abs(rounds - outcome.rounds)).toBeLessThanOrEqual(0.1 * outcome.rounds);
    expect(Math.abs(drafted - outcome.drafted)).toBeLessThanOrEqual(0.15 * outcome.drafted);
  });
});
