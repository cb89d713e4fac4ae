/**
 * How many tokens exits draft in a round. If a share α of drafts is accepted, n drafts yield E(n) = 1 + α + … + αⁿ
 * tokens in the time T(n) = T(0) + c(1) + … + c(n), where T(0) is that of a plain token and c(n) what draft number n
 * adds. One more draft is tried if it brings a tenth more tokens per time than the round has without it: costs leave
 * out what happens in between (reading back, choosing, judging).
 *
 *     α^(n+1) / c(n+1)  >  1.1 · E(n) / T(n)
 *
 * A draft from an exit at depth d of L costs the heads that were evaluated for it, the blocks below the exit for the
 * next position, and one more row in the blocks above and in the final head when the round is verified. With b(k) the
 * cost of a block and u(k) that of the final head for k rows together,
 *
 *     c(n) = heads + d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n)
 *
 * α, d and heads are means of what was seen in this text, where no exit's firing counts as heads without a draft. They
 * start from a prior and drift back to it, so drafting that did not pay is tried again now and then; where it could not
 * pay even at the prior, nothing is ever drafted. No clock takes part, so a run repeats exactly, and no drafted token,
 * as exact sampling requires.
 */
import { costOfRows, type UnitCosts } from "../cost/unit-costs.js";

export interface DraftPlan {
  /** True if one more draft after these `drafts` is expected to gain. */
  more(drafts: number): boolean;
  /**
   * Ends a round: the depths of its drafts, of which the first `accepted` were, and how often one was asked for.
   * @default as often as there are drafts
   */
  endRound(depths: readonly number[], accepted: number, tries?: number): void;
}

interface DraftingExit {
  readonly depth: number;
  readonly head: number;
}

/** Prior acceptance, and the number of drafts that it counts as. */
const PRIOR_ACCEPTANCE = 0.8;
export const PRIOR_DRAFTS = 8;

/** A round's weight relative to the next one's. */
export const MEMORY = 0.99;

/** The gain that a draft must promise. */
const MARGIN = 1.1;

/** Plans one sequence. Costs are in any one unit; `exits` ascend by depth. */
export function draftPlan(
  numLayers: number,
  exits: readonly DraftingExit[],
  { block, finalHead }: Pick<UnitCosts, "block" | "finalHead">,
): DraftPlan {
  const plain = numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
  // Sums over rounds. Drafts after a rejected one are not tested.
  const prior = {
    tested: PRIOR_DRAFTS,
    accepted: PRIOR_DRAFTS * PRIOR_ACCEPTANCE,
    drafts: 2,
    depth: numLayers,
    heads: 0,
  };
  let seen = prior;

  /** c(n) */
  const costOf = (n: number): number => {
    const depth = seen.depth / seen.drafts;
    return (
      seen.heads / seen.drafts +
      depth * costOfRows(block, 1) +
      (numLayers - depth) * (costOfRows(block, n + 1) - costOfRows(block, n)) +
      costOfRows(finalHead, n + 1) -
      costOfRows(finalHead, n)
    );
  };
  /** Cost of the heads on the way to this depth. */
  const headsTo = (depth: number): number =>
    exits.reduce((sum, exit) => (exit.depth <= depth ? sum + exit.head : sum), 0);

  return {
    more(drafts) {
      const acceptance = seen.accepted / seen.tested;
      let tokens = 1;
      let time = plain;
      for (let n = 1; n <= drafts; n++) {
        tokens += acceptance ** n;
        time += costOf(n);
      }
      return acceptance ** (drafts + 1) * time > MARGIN * tokens * costOf(drafts + 1);
    },

    endRound(depths, accepted, tries = depths.length) {
      const misses = tries - depths.length;
      const add = (name: keyof typeof prior, value: number): number =>
        prior[name] + MEMORY * (seen[name] - prior[name]) + value;
      seen = {
        tested: add("tested", Math.min(accepted + 1, depths.length)),
        accepted: add("accepted", accepted),
        drafts: add("drafts", depths.length),
        depth: add("depth", sumOf(depths)),
        heads: add("heads", sumOf(depths.map(headsTo)) + misses * headsTo(numLayers)),
      };
    },
  };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
