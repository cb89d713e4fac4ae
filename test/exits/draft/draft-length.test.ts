/** Draft lengths: what the plan chooses beside the fixed length that is best in hindsight. */
import { fc, real, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { growingCosts, type UnitCosts } from "../../../src/exits/cost/unit-costs.js";
import { expect, it } from "vitest";
import { draftPlan, type DraftPlan } from "../../../src/exits/draft/draft-plan.js";

const LAYERS = 12;
const DEPTH = 4;
const exits = [{ depth: DEPTH, head: 1 }];
const costs: Pick<UnitCosts, "block" | "finalHead"> = { block: growingCosts(1, 0.1), finalHead: growingCosts(1, 0.1) };
const PLAIN = LAYERS + 1;
/** Cost of a draft at depth 4: its blocks and head, and a further row in the verification. */
const DRAFT = DEPTH + 1 + 0.1 * (LAYERS - DEPTH + 1);

const fixed = (limit: number): DraftPlan => ({ more: (drafts) => drafts < limit, endRound: () => undefined });
const planned = () => draftPlan(LAYERS, exits, costs);

/** The number of drafts that a plan makes next, if every try makes one. */
function draftsOf(plan: DraftPlan) {
  let drafts = 0;
  while (drafts < 50 && plan.more(drafts)) drafts++;
  return drafts;
}

/** Tokens per unit of cost, drafts right with probability alpha; the exit fires at a share of the tries. */
function play(plan: DraftPlan, alpha: number, { rounds = 400, seed = 1, fires = 1 } = {}) {
  const rng = createRng(seed);
  let tokens = 0;
  let cost = 0;
  for (let round = 0; round < rounds; round++) {
    let drafts = 0;
    let tries = 0;
    while (drafts < 50 && plan.more(drafts)) {
      tries++;
      if (fires < 1 && rng.uniform() >= fires) {
        cost++; // the head that was evaluated in vain
        break;
      }
      drafts++;
    }
    let accepted = 0;
    while (accepted < drafts && rng.uniform() < alpha) accepted++;
    plan.endRound(Array<number>(drafts).fill(DEPTH), accepted, tries);
    tokens += accepted + 1;
    cost += PLAIN + drafts * DRAFT;
  }
  return tokens / cost;
}

test.prop([real(0.05, 0.95), real(0.3, 1), fc.nat(1000)], { numRuns: 60 })(
  "within 10 % of the fixed length that is best in hindsight, 0 included, however often exits fire",
  (alpha, fires, seed) => {
    const best = Math.max(
      1 / PLAIN,
      ...[1, 2, 3, 4, 6, 8, 12, 16].map((length) => play(fixed(length), alpha, { seed, fires })),
    );
    expect(play(planned(), alpha, { seed, fires })).toBeGreaterThan(0.9 * best);
  },
);

it("costs little if nothing is accepted, or no exit fires", () => {
  expect(play(planned(), 0)).toBeGreaterThan(0.95 / PLAIN);
  expect(play(planned(), 0.5, { fires: 0.01 })).toBeGreaterThan(0.95 / PLAIN);
});

it("is 0 where a further row costs as much as a token, or a head as much as all blocks", () => {
  const rows = { block: growingCosts(1, 1), finalHead: growingCosts(1, 1) };
  const dear = draftPlan(LAYERS, exits, rows);
  expect(draftsOf(dear)).toBe(0);
  expect(play(dear, 1)).toBe(1 / PLAIN);
  const heads = draftPlan(LAYERS, [{ depth: DEPTH, head: LAYERS }], costs);
  play(heads, 1, { rounds: 3 }); // what the head costs is seen with the first draft
  expect(draftsOf(heads)).toBe(0);
});
