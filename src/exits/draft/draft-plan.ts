/**
 * A draft plan decides, before every draft and after it, whether a round of lossless decoding goes on. One more draft
 * costs the blocks below the exit for the next position, and one more row in the blocks above and in the final head
 * when the round is verified. With b(k) the cost of a block and u(k) that of the final head for k rows together, draft
 * number n from an exit at depth d of L adds
 *     d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n)
 */
import type { Choice } from "../../model/decode/index.js";
import { costOfRows, type UnitCosts } from "../cost/index.js";
import type { Confidence } from "../heads/index.js";

/** A draft as a plan sees it; it has no confidence if no head made it. */
export type Draft = Choice & { readonly confidence?: Confidence };

/** The plan of one sequence. `drafts` are those of the round so far. */
export interface DraftPlan {
  /** Whether to try one more draft after these. */
  more(drafts: readonly Draft[]): boolean;
  /** Whether to keep the draft that was made after these; if not, the round's drafting ends. */
  keeps(drafts: readonly Draft[], draft: Draft): boolean;
  /** Called at the end of a round: the full model accepted the first `accepted` drafts. */
  learn(drafts: readonly Draft[], accepted: number): void;
}

/** What draft number n (from 1) from an exit at `depth` adds to the cost of a round, without the heads evaluated. */
export function draftCost(numLayers: number, { block, finalHead }: UnitCosts, depth: number, n: number): number {
  return (
    depth * costOfRows(block, 1) +
    (numLayers - depth) * (costOfRows(block, n + 1) - costOfRows(block, n)) +
    costOfRows(finalHead, n + 1) -
    costOfRows(finalHead, n)
  );
}

/**
 * The head's own probability of its most likely token; 1 if no head made the draft. It is not the probability of a
 * sampled token, because the decision to go on must not depend on the sample (rejection.ts).
 */
export function probabilityOf({ confidence }: Draft): number {
  return confidence === undefined ? 1 : Math.exp(confidence.top1 - confidence.logSumExp);
}
