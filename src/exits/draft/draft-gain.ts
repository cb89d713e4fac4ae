/**
 * Drafting by expected gain: draft n is kept where it is worth its cost, and tried where that can be expected,
 *     P · a(score)  >  rate · (d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n)),
 * P being the chance that all drafts before it are accepted, a(score) that it is too, and the cost that of the next
 * position's blocks below the exit at depth d and of one more row in the verification (b(k) a block, u(k) the final
 * head for k rows). `rate` is the tokens per unit of cost of the whole of decoding: no step should gain less
 * (Dinkelbach 1967). Trying costs the heads asked. Where the adaptive plan (draft-length.ts) must learn acceptance
 * while it writes, this one is told: `tuneDrafting` counts, per class of the exit's score, how often drafts were right.
 * No clock and no chance: the same run plans alike.
 */
import { type Draft, draftCost, type DraftPlan } from "./draft-plan.js";
import { exitFires, type ScoreName, type Threshold } from "../heads/index.js";
import type { UnitCosts } from "../cost/index.js";

/** Scores of an exit from `from` on, up to the next class. */
export interface AcceptanceClass {
  readonly from: Threshold;
  /** Share of the tries that end here: no exit before left, and the score is of this class. */
  readonly share: number;
  /** Share of its drafts that the full model agrees with. */
  readonly accepted: number;
}

/** What was counted of drafts. */
export interface DraftAcceptance {
  readonly score: ScoreName;
  /** Tokens per unit of cost. */
  readonly rate: number;
  /** Per exit, from the least sure class to the surest; none for an exit that never drafts. */
  readonly exits: readonly (readonly AcceptanceClass[])[];
}

/** A maker of plans that know how often drafts are accepted. */
export function gainPlans(
  numLayers: number,
  depths: readonly number[],
  costs: UnitCosts,
  { score, rate, exits }: DraftAcceptance,
): () => DraftPlan {
  const prices: number[][] = exits.map(() => []);
  const price = (exit: number, n: number): number =>
    (prices[exit]![n] ??= rate * draftCost(numLayers, costs, depths[exit]!, n)); // asked at every token
  const asking = exits.map(
    (classes, exit) =>
      rate * (costs.gates ?? costs.heads)[exit]! * classes.reduce((reached, { share }) => reached + share, 0),
  );
  const trying = asking.reduce((sum, cost) => sum + cost, 0);
  return () => {
    const lookedUp = { tested: 2, accepted: 1 }; // of drafts that no exit made, of which nothing was counted
    const acceptance = ({ exit, score: value }: Draft): number => {
      const known =
        exit === undefined || value === undefined
          ? undefined
          : exits[exit]?.findLast(({ from }) => exitFires(value, from, score));
      return known?.accepted ?? lookedUp.accepted / lookedUp.tested;
    };
    const alive = (drafts: readonly Draft[]): number =>
      drafts.reduce((product, draft) => product * acceptance(draft), 1);
    return {
      more(drafts) {
        const reached = alive(drafts);
        let gain = 0;
        for (let exit = 0; exit < exits.length; exit++) {
          const cost = price(exit, drafts.length + 1);
          for (const { share, accepted } of exits[exit]!) gain += share * Math.max(0, reached * accepted - cost);
        }
        return gain > trying;
      },
      keeps: (drafts, draft) =>
        draft.exit === undefined || alive(drafts) * acceptance(draft) > price(draft.exit, drafts.length + 1),
      learn(drafts, accepted) {
        drafts.slice(0, accepted + 1).forEach(({ exit }, i) => {
          if (exit !== undefined) return;
          lookedUp.tested++;
          lookedUp.accepted += Number(i < accepted);
        });
      },
    };
  };
}
