/**
 * Candidates for claim (B), from strict to lax, on a grid split that the test never sees. For each slack s = ε/m, 2ε/m,
 * …, ε, exit by exit, on the tokens that the earlier exits did not take:
 *   the laxest threshold at which the share of wrong tokens among those that leave is <= s
 * An exit that saves less than its head costs is left out.
 */
import { binTokens } from "./binned-tokens.js";
import { type Candidate, checkProposal, type ExitCosts, type ProposeOptions, slacksOf } from "./candidate.js";
import { candidatesOf, evaluateCuts, type Sweep, sweep } from "./cuts.js";
import type { ThresholdVector, TokenTable } from "./token-table.js";

/** Proposes vectors for claim (B). */
export function proposeSelective(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20 }: ProposeOptions,
): Candidate[] {
  checkProposal("proposeSelective", table, { epsilon, count });
  const binned = binTokens(table);
  const chosen = slacksOf(epsilon, count).map((slack) => {
    const cuts = binned.edges.map(() => 0);
    for (let exit = 0; exit < cuts.length; exit++) {
      cuts[exit] = laxestCut(sweep(binned, costs, cuts, exit), costs.head[exit]!, slack);
    }
    return evaluateCuts(binned, costs, cuts);
  });
  return candidatesOf(binned, chosen);
}

export interface ProposeAtExitOptions extends ProposeOptions {
  readonly exit: number;
  /** Thresholds of the exits before `exit`; those from `exit` on are ignored. */
  readonly vector: ThresholdVector;
}

/** Proposes vectors that differ at one exit only, keep the thresholds before it and use no exit after it. */
export function proposeAtExit(
  table: TokenTable,
  costs: ExitCosts,
  { vector, exit, epsilon, count = 20 }: ProposeAtExitOptions,
): Candidate[] {
  checkProposal("proposeAtExit", table, { epsilon, count });
  const binned = binTokens(table);
  const cuts = vector.map((threshold, e) =>
    e < exit ? binned.edges[e]!.filter((edge) => edge >= threshold).length : 0,
  );
  const here = sweep(binned, costs, cuts, exit);
  const chosen = slacksOf(epsilon, count)
    .map((slack) => cuts.with(exit, laxestCut(here, costs.head[exit]!, slack)))
    .filter((proposed) => proposed[exit]! > 0)
    .map((proposed) => evaluateCuts(binned, costs, proposed));
  return candidatesOf(binned, chosen);
}

/** The laxest cut with a share of wrong tokens <= slack; 0 if it saves less than the head costs. */
function laxestCut({ left, wrong, gain, reached }: Sweep, head: number, slack: number): number {
  let leftSum = 0;
  let wrongSum = 0;
  let saved = -head * reached;
  let worth = 0;
  let cut = 0;
  for (let bin = 0; bin < left.length; bin++) {
    leftSum += left[bin]!;
    wrongSum += wrong[bin]!;
    saved += gain[bin]!;
    if (leftSum > 0 && wrongSum <= slack * leftSum) {
      cut = bin + 1;
      worth = saved;
    }
  }
  return worth > 0 ? cut : 0;
}
