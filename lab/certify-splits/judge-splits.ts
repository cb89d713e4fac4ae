/**
 * Certifies under many seeds and judges each policy by its agreement over the whole pool, which stands in for the
 * population. A certificate may miss its claim in a share δ of the seeds.
 */
import type { Certified } from "early-exits";
import type { CertifyPolicyOptions } from "early-exits/calibrate";
import type { Tally } from "../../src/calibrate/procedures/tally.js";
import { outcomeOfTally, type PolicyOutcome } from "../../src/calibrate/record/outcome.js";
import type { Subject } from "../../src/calibrate/record/subject.js";

/** A cell of the study: a model, a loss, a fill and a level. */
export interface SplitCase {
  readonly model: string;
  readonly options: CertifyPolicyOptions;
  readonly subject: Pick<Subject, "depths" | "numLayers">;
  readonly certify: (seed: number) => Promise<Certified>;
  /** Figures of the certified policy on the whole pool. */
  readonly tally: (certified: Certified) => Tally;
}

export interface SplitRow {
  readonly model: string;
  readonly loss: string;
  readonly fill: string;
  readonly agreement: number;
  /** Number of splits whose policy misses the claim on the pool. */
  readonly violations: number;
  /** Number of splits that ended in "never exit". */
  readonly never: number;
  /** Means over splits: coverage, depth, cost relative to the full model, and measured agreement. */
  readonly coverage: number;
  readonly depth: number;
  readonly cost: number;
  readonly measured: number;
}

/** Certifies under the seeds 1..splits. */
export async function judgeSplits(
  { model, options, subject, certify, tally: tallyOf }: SplitCase,
  splits: number,
): Promise<SplitRow> {
  const { loss = "token", fill = "lazy", agreement = 0.95 } = options;
  let violations = 0;
  let never = 0;
  let coverage = 0;
  let depth = 0;
  let cost = 0;
  let measured = 0;
  for (let seed = 1; seed <= splits; seed++) {
    const certified = await certify(seed);
    const tally = tallyOf(certified);
    const outcome = outcomeOfTally(tally, 0, subject);
    const kept = loss === "token" ? outcome.documentAgreement : unchangedShare(tally);
    if (kept < agreement) violations++;
    if (outcome.coverage === 0) never++;
    coverage += outcome.coverage / splits;
    depth += outcome.meanDepth / splits;
    cost += relativeCost(certified, outcome) / splits;
    measured += kept / splits;
  }
  return {
    model,
    loss,
    fill,
    agreement,
    violations,
    never,
    coverage,
    depth,
    cost,
    measured,
  };
}

/** The mean cost of a token over the full model's, by the costs in the certificate. */
function relativeCost({ policy, certificate: { costs } }: Certified, outcome: PolicyOutcome): number {
  const early = outcome.exits.reduce((sum, { left, reached }, i) => {
    const headCost = policy.exits[i]!.threshold === "never" ? 0 : reached * costs.head[i]!;
    return sum + left * costs.reach[i]! + headCost;
  }, 0);
  const spent = early + (1 - outcome.coverage) * outcome.positions * costs.full;
  return spent / (outcome.positions * costs.full);
}

/** The share of documents in which no token changes. */
function unchangedShare({ documents, exits, wrong, deep }: Tally): number {
  let unchanged = 0;
  for (let d = 0; d < documents; d++) {
    const changed = wrong.subarray(d * exits, (d + 1) * exits).some((count) => count > 0) || deep[d]! > 0;
    if (!changed) unchanged++;
  }
  return unchanged / documents;
}
