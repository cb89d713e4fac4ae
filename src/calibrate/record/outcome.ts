/**
 * The outcome of a policy on recorded text (teacher-forced): where tokens leave, how often they are the full model's,
 * and how deep they go. Exact for exact fills (`lazy`, `shared`); for `project` it leaves out the effect of an exit on
 * later tokens. A sampled token agrees by 1 - TV (judge.ts), as in a best coupling.
 */
import type { Policy } from "../../exits/plan/policy.js";
import { orientThreshold, tallyVectors } from "../procedures/token-table.js";
import { judgedIn, type Tally } from "../procedures/tally.js";
import { lossScaleOf } from "./judge.js";
import { type PolicyRuns, tallyRuns } from "./policy-runs.js";
import type { CalibrationRecords } from "./record.js";
import { tableOf } from "./evidence.js";

interface ExitOutcome {
  readonly depth: number;
  readonly reached: number;
  readonly left: number;
  /** left / reached; null if none reached it. */
  readonly coverage: number | null;
  /** Share of those that left whose token is the full model's; null if none left, and of answers. */
  readonly agreement: number | null;
}

export interface PolicyOutcome {
  readonly documents: number;
  readonly positions: number;
  /** Share of positions whose token is the full model's; of answers, the share that are the full model's. */
  readonly agreement: number;
  /** Mean over documents of each document's agreement. */
  readonly documentAgreement: number;
  readonly coverage: number;
  readonly meanDepth: number;
  readonly exits: readonly ExitOutcome[];
}

/** From records. */
export function playPolicy(
  { documents, numLayers, sampling }: Pick<CalibrationRecords, "documents" | "numLayers" | "sampling">,
  { score, exits }: Pick<Policy, "score" | "exits">,
): PolicyOutcome {
  const vector = exits.map(({ threshold }) => orientThreshold(threshold, score));
  const tally = tallyVectors(tableOf(documents, score, lossScaleOf(sampling)), [vector]);
  return outcomeOfTally(tally, { depths: exits.map(({ depth }) => depth), numLayers });
}

/** From runs, with everything that exits changed. */
export function playRuns(runs: PolicyRuns): PolicyOutcome {
  return outcomeOfTally(tallyRuns(runs), runs.subject);
}

/** What the first candidate does on some documents of a tally. */
export function outcomeOfTally(
  tally: Tally,
  { depths, numLayers }: Pick<CalibrationRecords, "depths" | "numLayers">,
  documents: readonly number[] = [...tally.tokens.keys()],
): PolicyOutcome {
  const { candidates, exits, lossScale = 1, left, wrong, deep, answers } = tally;
  const writtenIn = (d: number) => answers?.written[d * candidates] ?? judgedIn(tally, d * candidates);
  const positions = documents.reduce((sum, d) => sum + writtenIn(d), 0);
  const leaving = depths.map(() => 0);
  const mistaken = depths.map(() => 0);
  let changed = 0;
  let documentAgreement = 0;
  for (const d of documents) {
    let here = deep[d * candidates]!;
    for (let exit = 0; exit < exits; exit++) {
      const at = d * candidates * exits + exit;
      leaving[exit]! += left[at]!;
      mistaken[exit]! += wrong[at]!;
      here += wrong[at]!;
    }
    if (answers !== undefined) here = Number(answers.hashes[d * candidates] !== answers.full[d]);
    changed += here;
    documentAgreement += 1 - here / lossScale / (answers === undefined ? writtenIn(d) : 1);
  }
  let remaining = positions;
  const outcomes = depths.map((depth, exit): ExitOutcome => {
    const reached = remaining;
    remaining -= leaving[exit]!;
    return {
      depth,
      reached,
      left: leaving[exit]!,
      coverage: share(leaving[exit]!, reached),
      agreement: answers ? null : share(leaving[exit]! - mistaken[exit]! / lossScale, leaving[exit]!),
    };
  });
  const earlyDepth = outcomes.reduce((sum, { depth, left: count }) => sum + depth * count, 0);
  return {
    documents: documents.length,
    positions,
    agreement: 1 - changed / lossScale / (answers === undefined ? positions : documents.length),
    documentAgreement: documentAgreement / documents.length,
    coverage: (positions - remaining) / positions,
    meanDepth: (earlyDepth + remaining * numLayers) / positions,
    exits: outcomes,
  };
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
