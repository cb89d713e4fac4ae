/**
 * Vectors of cuts on binned tokens: what a vector costs and how much it harms (`evaluateCuts`), and what each possible
 * cut at one exit would change while the cuts at the other exits stay as they are (`sweep`). Each is one pass over the
 * tokens.
 */
import type { Candidate, ExitCosts } from "./candidate.js";
import { type BinnedTokens, LOSS_STEPS, SHARE_UNIT } from "./binned-tokens.js";

/** Per exit, how many of the most confident bins leave there; 0 is "never". */
export type Cuts = readonly number[];

/** A vector of cuts with its risk and cost on the grid split. */
export interface EvaluatedCuts {
  readonly cuts: Cuts;
  readonly risk: number;
  readonly cost: number;
}

/** What the bins of one exit hold, and what changes if they leave there. */
export interface Sweep {
  /** Number of tokens that reach the exit. */
  readonly reached: number;
  /** [bins] number of these tokens. */
  readonly left: Float64Array;
  /** [bins] number of these tokens that the exit gets wrong; a token that may change counts in part. */
  readonly wrong: Float64Array;
  /** [bins] cost saved if the tokens leave here instead of going on with the other cuts as they are. */
  readonly gain: Float64Array;
  /** [bins] document share of loss added if they leave here, in SHARE_UNIT. */
  readonly harm: Float64Array;
}

/** One pass over the tokens that reach `exit`. */
export function sweep(
  { tokens, bins, edges, losses, deep, share }: BinnedTokens,
  costs: ExitCosts,
  cuts: Cuts,
  exit: number,
): Sweep {
  const size = edges[exit]!.length;
  const left = new Float64Array(size);
  const wrong = new Float64Array(size);
  const harm = new Float64Array(size);
  const exits = edges.length;
  // [exits + 1, bins] tokens by where they would leave otherwise; counted here, priced below
  const onward = new Float64Array((exits + 1) * size);
  let reached = 0;
  for (let t = 0; t < tokens; t++) {
    if (leavesAt(bins, cuts, t, 0, exit) < exit) continue;
    reached++;
    const bin = bins[exit]![t]!;
    const next = leavesAt(bins, cuts, t, exit + 1, exits);
    const wrongHere = losses[exit]![t]!;
    const wrongThere = (next < exits ? losses[next]![t] : deep?.[t]) ?? 0;
    left[bin]!++;
    wrong[bin]! += wrongHere;
    harm[bin]! += share[t]! * (wrongHere - wrongThere);
    onward[next * size + bin]!++;
  }
  for (let bin = 0; bin < size; bin++) {
    wrong[bin]! /= LOSS_STEPS; // sums first: they are exact
    harm[bin]! /= LOSS_STEPS;
  }
  const usedWithout = cuts.map((cut, e) => e !== exit && cut > 0);
  const without = tokenCosts(costs, usedWithout);
  const here = costs.reach[exit]! + headsBefore(costs, cuts, exit);
  const gain = new Float64Array(size);
  for (let next = exit + 1; next <= exits; next++) {
    for (let bin = 0; bin < size; bin++) gain[bin]! += onward[next * size + bin]! * (without[next]! - here);
  }
  return { reached, left, wrong, gain, harm };
}

/** Risk and cost of a vector of cuts: one pass over all tokens. */
export function evaluateCuts(
  { tokens, documents, bins, losses, deep, share }: BinnedTokens,
  costs: ExitCosts,
  cuts: Cuts,
): EvaluatedCuts {
  const exits = cuts.length;
  const leaving = new Float64Array(exits + 1);
  let harm = 0;
  for (let t = 0; t < tokens; t++) {
    const exit = leavesAt(bins, cuts, t, 0, exits);
    leaving[exit]!++;
    harm += share[t]! * ((exit < exits ? losses[exit]![t] : deep?.[t]) ?? 0);
  }
  const used = cuts.map((cut) => cut > 0);
  const price = tokenCosts(costs, used);
  return {
    cuts,
    risk: harm / LOSS_STEPS / (documents * SHARE_UNIT),
    cost: leaving.reduce((sum, count, exit) => sum + (count * price[exit]!) / tokens, 0),
  };
}

/** Drops repeated vectors and "never exit", which needs no test, and turns cuts into thresholds. */
export function candidatesOf({ edges }: BinnedTokens, evaluated: readonly EvaluatedCuts[]): Candidate[] {
  const never = edges.map(() => 0);
  const seen = new Set([never.join()]);
  return evaluated.flatMap(({ cuts, risk, cost }) => {
    const key = cuts.join();
    if (seen.has(key)) return [];
    seen.add(key);
    const thresholds = cuts.map((cut, exit) => (cut === 0 ? Infinity : edges[exit]![cut - 1]!));
    return [{ thresholds, risk, cost }];
  });
}

/** The first exit in [from, to) at which token t leaves; `to` if there is none. */
function leavesAt(bins: readonly Uint16Array[], cuts: Cuts, t: number, from: number, to: number): number {
  for (let exit = from; exit < to; exit++) {
    if (bins[exit]![t]! < cuts[exit]!) return exit;
  }
  return to;
}

/** [exits + 1] cost of a token by the exit at which it leaves; the last entry is full depth. */
function tokenCosts({ reach, head, full }: ExitCosts, used: readonly boolean[]): number[] {
  let heads = 0;
  const early = reach.map((blocks, exit) => {
    if (used[exit] === true) heads += head[exit]!;
    return blocks + heads;
  });
  return [...early, full + heads];
}

function headsBefore({ head }: ExitCosts, cuts: Cuts, exit: number): number {
  return head.reduce((sum, cost, e) => sum + (e < exit && cuts[e]! > 0 ? cost : 0), 0);
}
