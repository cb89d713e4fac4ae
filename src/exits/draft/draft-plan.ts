/**
 * What a plan of drafting decides, before every draft and after it, and what one more draft costs: the next position's
 * blocks below the exit, and one more row in the blocks above it and in the final head when the round is verified,
 *     d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n),      b(k) a block for k rows, u(k) the final head for k rows.
 */
import type { Choice } from "../../model/decode/index.js";
import { costOfRows, type UnitCosts } from "../cost/index.js";
import type { Confidence } from "../heads/index.js";

/** A draft as a plan sees it; one that no head made carries no confidence. */
export type Draft = Choice & { readonly confidence?: Confidence };

/** The plan of one sequence. */
export interface DraftPlan {
  /** Whether to try one more, after these. */
  more(drafts: readonly Draft[]): boolean;
  /** Whether to keep the one that was made, after these; if not, drafting ends. */
  keeps(drafts: readonly Draft[], draft: Draft): boolean;
  learn(drafts: readonly Draft[], accepted: number): void;
}

/**
 * What draft number n (from 1) from an exit at `depth` adds to a round: the next position's blocks below the exit, and
 * one row more above it.
 */
export function draftCost(numLayers: number, { block, finalHead }: UnitCosts, depth: number, n: number): number {
  return (
    depth * costOfRows(block, 1) +
    (numLayers - depth) * (costOfRows(block, n + 1) - costOfRows(block, n)) +
    costOfRows(finalHead, n + 1) -
    costOfRows(finalHead, n)
  );
}
