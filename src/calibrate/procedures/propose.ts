/**
 * Candidates, from strict to lax, on a grid split that the test never sees:
 *   for each slack s = ε/m, 2ε/m, …, ε: the cheapest vector found whose risk on the grid split is <= s
 * Vectors come from minimising cost + λ·loss for a range of λ by coordinate descent over the exits; then one exit is
 * relaxed as far as s permits. This need not find the global optimum (a hard problem): the test decides. For large
 * tables the search uses some of the documents, but evaluates each vector found on all.
 */
import { requireInteger } from "../../errors.js";
import { requireLevel } from "../bounds/check.js";
import {
  type BinnedTokens,
  binTokens,
  type Cuts,
  evaluateCuts,
  type EvaluatedCuts,
  SHARE_UNIT,
  type Sweep,
  sweep,
  thin,
  vectorsOf,
} from "./cuts.js";
import type { ExitCosts } from "./tally.js";
import { requireTokenTable, type ThresholdVector, type TokenTable } from "./token-table.js";

/** Values of λ tried. */
const PATH = 24;
const ROUNDS = 3;

export interface ProposeOptions {
  readonly epsilon: number;
  /** Slacks tried; repeated vectors are dropped. @default 20 */
  readonly count?: number;
}

/** Throws an OptionError for a malformed table, an epsilon outside (0, 1) or an illegal count. */
export function proposeVectors(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20 }: ProposeOptions,
): ThresholdVector[] {
  requireTokenTable("proposeVectors", table);
  requireLevel("proposeVectors, epsilon", epsilon);
  requireInteger("proposeVectors: count", count, 1, 1000);
  const binned = binTokens(table);
  const never = binned.edges.map(() => 0);
  const path = lambdaPath(binned, costs, epsilon);
  const start = evaluateCuts(binned, costs, never);
  const sweepsOf = new Map<EvaluatedCuts, readonly Sweep[]>();
  const chosen = Array.from({ length: count }, (_, i) => {
    const slack = (epsilon * (i + 1)) / count;
    const base = path
      .filter(({ risk }) => risk <= slack)
      .reduce((best, vector) => (vector.cost < best.cost ? vector : best), start);
    const sweeps = sweepsOf.get(base) ?? base.cuts.map((_cut, exit) => sweep(binned, costs, base.cuts, exit));
    sweepsOf.set(base, sweeps);
    return relax(binned, costs, base, sweeps, slack);
  });
  return vectorsOf(binned, chosen);
}

/** Vectors for a range of λ, the price of a changed token, from strict to lax. */
function lambdaPath(binned: BinnedTokens, costs: ExitCosts, epsilon: number): EvaluatedCuts[] {
  const searched = thin(binned);
  const strict = (40 * costs.full) / epsilon;
  const lax = costs.full / 4; // almost any saving is worth a changed token
  let cuts: Cuts = binned.edges.map(() => 0);
  return Array.from({ length: PATH }, (_, step) => {
    const lambda = strict * (lax / strict) ** (step / (PATH - 1));
    cuts = descend(searched, costs, cuts, lambda);
    return evaluateCuts(binned, costs, cuts);
  });
}

/** Coordinate descent on cost + λ·loss, deepest exit first. */
function descend(binned: BinnedTokens, costs: ExitCosts, from: Cuts, lambda: number): number[] {
  const cuts = [...from];
  // Costs are summed over tokens, losses are averaged over documents.
  const price = (lambda * binned.tokens) / (binned.documents * SHARE_UNIT);
  for (let round = 0; round < ROUNDS; round++) {
    let changed = false;
    for (let exit = cuts.length - 1; exit >= 0; exit--) {
      const { gain, harm, reached } = sweep(binned, costs, cuts, exit);
      let best = 0;
      let bestCut = 0;
      let sum = -costs.head[exit]! * reached;
      for (let bin = 0; bin < gain.length; bin++) {
        sum += gain[bin]! - price * harm[bin]!;
        if (sum > best) {
          best = sum;
          bestCut = bin + 1;
        }
      }
      changed ||= cuts[exit] !== bestCut;
      cuts[exit] = bestCut;
    }
    if (!changed) break;
  }
  return cuts;
}

/** Relaxes the exit where that saves most, as far as the slack permits. */
function relax(
  { documents }: BinnedTokens,
  costs: ExitCosts,
  base: EvaluatedCuts,
  sweeps: readonly Sweep[],
  slack: number,
): Cuts {
  const room = (slack - base.risk) * documents * SHARE_UNIT;
  let best = 0;
  let bestCuts = base.cuts;
  for (const [exit, { gain, harm, reached }] of sweeps.entries()) {
    const from = base.cuts[exit]!;
    let saved = from === 0 ? -costs.head[exit]! * reached : 0;
    let harmed = 0;
    for (let bin = from; bin < gain.length; bin++) {
      saved += gain[bin]!;
      harmed += harm[bin]!;
      if (harmed <= room && saved > best) {
        best = saved;
        bestCuts = base.cuts.with(exit, bin + 1);
      }
    }
  }
  return bestCuts;
}
