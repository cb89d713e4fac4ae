/**
 * The cells of the study for one model, certified on one recording of the pool with a fill that changes no other token.
 */
import type { FillName } from "early-exits";
import { calibrateRecords, type CalibrationRecords } from "early-exits/calibrate";
import { orientThreshold, tallyVectors } from "../../src/calibrate/procedures/token-table.js";
import { scoresOf } from "../../src/calibrate/record/subject.js";
import { tableOf } from "../../src/calibrate/record/evidence.js";
import { judgeSplits, type SplitRow } from "./judge-splits.js";

const AGREEMENTS = [0.9, 0.95];
const LOSSES = ["token", "anyChange"] as const;

export interface SplitSettings {
  readonly splits: number;
  readonly delta: number;
}

/** One row per loss and level, certified on records. `fill` must be exact. */
export async function certifyRecorded(
  model: string,
  records: CalibrationRecords,
  fill: FillName,
  { splits, delta }: SplitSettings,
): Promise<SplitRow[]> {
  const rows: SplitRow[] = [];
  const tables = new Map(scoresOf(records).map((score) => [score, tableOf(records.documents, score)]));
  for (const agreement of AGREEMENTS) {
    for (const loss of LOSSES) {
      const options = { loss, agreement, delta, fill };
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
