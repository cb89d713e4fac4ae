/**
 * A candidate: a vector of thresholds worth testing, with the risk and the cost that the grid split predicts for it.
 * Costs are linear in where tokens leave:
 *   cost of a token that leaves at exit h = reach_h + Σ head_j over the exits j <= h in use;   full + Σ head_j if none
 */
import { requireInteger } from "../../errors.js";
import { requireLevel } from "../bounds/index.js";
import type { Tally } from "./tally.js";
import { requireTokenTable, type ThresholdVector, type TokenTable } from "./token-table.js";

/**
 * The cost of a token, in any one unit. A token pays for every head that is evaluated on it, whether it leaves there or
 * not; a head with threshold "never" is not evaluated.
 */
export interface ExitCosts {
  /** [exits] blocks up to each exit. */
  readonly reach: readonly number[];
  /** [exits] evaluation of each head. */
  readonly head: readonly number[];
  /** All blocks and the final head. */
  readonly full: number;
}

export interface Candidate {
  readonly thresholds: ThresholdVector;
  /** On the grid split: the mean over documents of the share of changed tokens. */
  readonly risk: number;
  /** On the grid split: the mean cost of a token. */
  readonly cost: number;
}

export interface ProposeOptions {
  readonly epsilon: number;
  /** Number of slacks tried. Repeated vectors are dropped, so fewer candidates may result. @default 20 */
  readonly count?: number;
}

/** The slacks ε/m, 2ε/m, …, ε: how much risk a candidate may have on the grid split. */
export function slacksOf(epsilon: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (epsilon * (i + 1)) / count);
}

/** Throws an OptionError for a malformed table, an epsilon outside (0, 1) or an illegal count. */
export function checkProposal(where: string, table: TokenTable, { epsilon, count }: Required<ProposeOptions>): void {
  requireTokenTable(where, table);
  requireLevel(`${where}, epsilon`, epsilon);
  requireInteger(`${where}: count`, count, 1, 1000);
}

/** The mean cost of a token under each candidate of a tally. */
export function costsOf(
  { documents, candidates, exits, tokens, left, active }: Tally,
  { reach, head, full }: ExitCosts,
): number[] {
  const total = tokens.reduce((sum, count) => sum + count, 0);
  return Array.from({ length: candidates }, (_, candidate) => {
    let going = total;
    let cost = 0;
    for (let exit = 0; exit < exits; exit++) {
      if (active[candidate * exits + exit] === 0) continue;
      let leaving = 0;
      for (let d = 0; d < documents; d++) leaving += left[(d * candidates + candidate) * exits + exit]!;
      cost += going * head[exit]! + leaving * reach[exit]!;
      going -= leaving;
    }
    return (cost + going * full) / total;
  });
}
