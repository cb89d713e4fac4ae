/**
 * The cells of the study for one model. Fills that change no other token are certified on one recording of the pool.
 * For propagated keys and values, candidate policies run once on part of the pool, and every split reuses the counts.
 */
import type { Document, ExitHeads, FillName } from "early-exits";
import {
  calibrateRecords,
  calibrateRuns,
  type CalibrationRecords,
  type CertifyPolicyOptions,
  recordDocuments,
  runPolicies,
} from "early-exits/calibrate";
import { orientThreshold, proposeOverall, rawThreshold, tallyVectors } from "../../src/calibrate/procedures/index.js";
import { exitCosts, pickVectors, scoresOf, tableOf, tallyRuns } from "../../src/calibrate/record/index.js";
import { judgeSplits, type SplitRow } from "./judge-splits.js";

const AGREEMENTS = [0.9, 0.95];
const CLAIMS = [
  { claim: "overall" },
  { claim: "selective" },
  { claim: "selective", unit: "token" },
] as const satisfies readonly CertifyPolicyOptions[];

export interface SplitSettings {
  readonly splits: number;
  readonly delta: number;
}

/** One row per claim and level, certified on records. `fill` must be exact. */
export async function certifyRecorded(
  model: string,
  records: CalibrationRecords,
  fill: FillName,
  { splits, delta }: SplitSettings,
): Promise<SplitRow[]> {
  const rows: SplitRow[] = [];
  const tables = new Map(scoresOf(records).map((score) => [score, tableOf(records.documents, score)]));
  for (const agreement of AGREEMENTS) {
    for (const claim of CLAIMS) {
      const options = { ...claim, agreement, delta, fill };
      const row = await judgeSplits(
        {
          model,
          options,
          subject: records,
          certify: (seed) => calibrateRecords(records, { ...options, seed }),
          tally: ({ policy: { score, exits } }) => {
            const vector = exits.map(({ threshold }) => orientThreshold(threshold, score));
            return tallyVectors(tables.get(score)!, [vector]);
          },
        },
        splits,
      );
      rows.push(row);
      console.error(row);
    }
  }
  return rows;
}

/** One row per level for propagated keys and values; none if no exit saves more than its head costs. */
export async function certifyPropagated(
  model: string,
  heads: ExitHeads,
  pool: readonly Document[],
  { splits, delta }: SplitSettings,
): Promise<SplitRow[]> {
  const cut = Math.floor(pool.length / 4);
  const grid = await recordDocuments(heads, pool.slice(0, cut));
  const costs = exitCosts(grid, { fill: "propagate" });
  const proposed = proposeOverall(tableOf(grid.documents, "margin"), costs, { epsilon: 0.1, count: 12 });
  if (proposed.length === 0) return [];
  const thresholds = proposed.map((candidate) =>
    candidate.thresholds.map((threshold) => rawThreshold(threshold, "margin")),
  );
  const onRun = ({ done, total }: { readonly done: number; readonly total: number }): void => {
    if (done % 8 === 0) console.error(`runs ${done}/${total}`);
  };
  const candidates = { score: "margin", fill: "propagate", thresholds } as const;
  const runs = await runPolicies(heads, pool.slice(cut), candidates, { onRun });
  const tally = tallyRuns(runs);
  const keys = thresholds.map((list) => list.join());
  const rows: SplitRow[] = [];
  for (const agreement of AGREEMENTS) {
    const options = { claim: "overall", agreement, delta, fill: "propagate" } as const;
    const row = await judgeSplits(
      {
        model,
        options,
        subject: runs.subject,
        certify: (seed) => calibrateRuns(runs, { claim: "overall", agreement, delta, seed }),
        tally: ({ policy }) => {
          const key = policy.exits.map(({ threshold }) => threshold).join();
          return pickVectors(tally, [keys.indexOf(key)]);
        },
      },
      splits,
    );
    rows.push(row);
    console.error(row);
  }
  return rows;
}
