/**
 * The baseline that dynamic drafting has to beat: LayerSkip's self-speculation (Elhoushi et al. 2024), in which one
 * fixed exit drafts a fixed number of tokens a round, whatever its confidence. Both are chosen on recorded texts, by
 * the same costs as dynamic drafting.
 */
import { createPolicy, type ExitHeads, type Policy } from "early-exits";
import type { UnitCosts } from "early-exits/exits";
import { type DraftingRecords, playDrafting } from "early-exits/calibrate";

const DRAFT_LENGTHS = [1, 2, 3, 4, 5, 6, 8] as const;

export interface FixedExit {
  readonly policy: Policy;
  readonly depth: number;
  readonly draftLimit: number;
}

/** The fixed exit and draft length with the least cost on the recorded texts. */
export function cheapestFixedExit(heads: ExitHeads, records: DraftingRecords, costs: UnitCosts): FixedExit {
  const grid = heads.depths.flatMap((depth, exit) =>
    DRAFT_LENGTHS.map((draftLimit) => {
      const policy = createPolicy(
        heads,
        heads.depths.map((_, i) => (i === exit ? "always" : "never")),
        { score: "maxProb" },
      );
      return { policy, depth, draftLimit, cost: playDrafting(records, policy, { draftLimit, costs }).cost };
    }),
  );
  const { policy, depth, draftLimit } = grid.reduce((best, one) => (one.cost < best.cost ? one : best));
  return { policy, depth, draftLimit };
}
