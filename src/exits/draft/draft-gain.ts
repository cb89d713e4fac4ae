/**
 * Drafting by expected gain: draft number n is kept if it is worth its cost,
 *
 *     P · a(score)  >  rate · (d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n))
 *
 * and tried if that can be expected. P is the probability that all drafts before it are accepted, a(score) that it is
 * accepted too; the cost is explained in draft-plan.ts. `rate` is the tokens per unit of cost of all decoding: no step
 * should gain less (Dinkelbach 1967). Trying costs the heads that are evaluated. The adaptive plan (adaptive-plan.ts)
 * must learn acceptance during generation; this plan is given it: `tuneDrafting` counts, per class of the exit's score,
 * how often drafts were right. The plan uses no clock and no random numbers, so the same run always makes the same
 * decisions.
 */
import type { UnitCosts } from "../cost/index.js";
import { exitFires, type ScoreName, type Threshold } from "../heads/index.js";
import { type Draft, draftCost, type DraftPlan } from "./draft-plan.js";

/** A class of an exit's scores: those that pass `from`, but not the next class's. */
export interface AcceptanceClass {
  readonly from: Threshold;
  /** Share of the tries that end here: no earlier exit fired, and the score is in this class. */
  readonly share: number;
  /** Share of its drafts that the full model agrees with. */
  readonly accepted: number;
}

/** How often drafts are accepted, as counted by `tuneDrafting`. */
export interface DraftAcceptance {
  readonly score: ScoreName;
  /** Tokens per unit of cost. */
  readonly rate: number;
  /** Per exit: its classes, from the least to the most confident; none for an exit that never drafts. */
  readonly exits: readonly (readonly AcceptanceClass[])[];
}

/** Returns a function that makes a plan for each sequence, which knows how often drafts are accepted. */
export function gainPlans(
  numLayers: number,
  depths: readonly number[],
  costs: UnitCosts,
  acceptance: DraftAcceptance,
): () => DraftPlan {
  const { score, rate, exits } = acceptance;
  const prices: number[][] = exits.map(() => []); // by exit and number of the draft; needed for every token
  const priceOf = (exit: number, n: number): number =>
    (prices[exit]![n] ??= rate * draftCost(numLayers, costs, depths[exit]!, n));
  const priceOfTrying = tryingCost(costs, acceptance);

  return () => {
    // Drafts that no exit made (prompt lookup) were not counted, so their acceptance is learned, from 1 of 2.
    const lookedUp = { tested: 2, accepted: 1 };

    const acceptanceOf = ({ exit, score: value }: Draft): number => {
      const found =
        exit === undefined || value === undefined
          ? undefined
          : exits[exit]?.findLast(({ from }) => exitFires(value, from, score));
      return found?.accepted ?? lookedUp.accepted / lookedUp.tested;
    };
    /** The probability that all drafts are accepted. */
    const alive = (drafts: readonly Draft[]): number =>
      drafts.reduce((product, draft) => product * acceptanceOf(draft), 1);

    return {
      more(drafts) {
        const reached = alive(drafts);
        let gain = 0; // expected, over the classes in which the draft would be kept
        for (const [exit, classes] of exits.entries()) {
          const price = priceOf(exit, drafts.length + 1);
          for (const { share, accepted } of classes) gain += share * Math.max(0, reached * accepted - price);
        }
        return gain > priceOfTrying;
      },

      keeps(drafts, draft) {
        if (draft.exit === undefined) return true;
        return alive(drafts) * acceptanceOf(draft) > priceOf(draft.exit, drafts.length + 1);
      },

      learn(drafts, accepted) {
        for (const [i, { exit }] of drafts.slice(0, accepted + 1).entries()) {
          if (exit !== undefined) continue;
          lookedUp.tested++;
          lookedUp.accepted += Number(i < accepted);
        }
      },
    };
  };
}

/** The tokens that trying a draft must gain: rate times the heads, as reached. */
function tryingCost(costs: UnitCosts, { rate, exits }: DraftAcceptance): number {
  let total = 0;
  for (const [exit, classes] of exits.entries()) {
    const reached = classes.reduce((sum, { share }) => sum + share, 0);
    total += rate * costs.heads[exit]! * reached;
  }
  return total;
}
