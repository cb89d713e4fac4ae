/**
 * A floor under every policy (arXiv 2606.29054). If all tokens left at an exit, a share mu would differ from the full
 * model's. With that exit alone, a risk of alpha takes at least mu - alpha of the tokens to stay, however good the
 * score: each token that stays removes at most one that differs.
 */
import { lossesIn, type TokenTable } from "../procedures/token-table.js";
import type { CalibrationRecords } from "./record.js";
import { judgedBy } from "./subject.js";
import { tableOf } from "./evidence.js";

export interface ExitFeasibility {
  /** mu: the mean over documents of the share of tokens where the exit differs. */
  readonly baseRisk: number;
  /** The least share of tokens that must stay. */
  readonly mustStay: number;
}

interface FeasibilityOptions {
  /** @default 0.95 */
  readonly agreement?: number;
}

/** Per exit, from records. */
export function feasibility(
  records: CalibrationRecords,
  { agreement = 0.95 }: FeasibilityOptions = {},
): ExitFeasibility[] {
  return feasibilityOf(tableOf(records.documents, "margin", judgedBy(records).lossScale), 1 - agreement);
}

export function feasibilityOf(
  table: Pick<TokenTable, "documents" | "starts" | "agrees" | "losses">,
  epsilon: number,
): ExitFeasibility[] {
  const { documents, starts } = table;
  const { lossScale, exits } = lossesIn(table);
  return exits.map((column) => {
    let baseRisk = 0;
    for (let d = 0; d < documents; d++) {
      const own = column.subarray(starts[d], starts[d + 1]);
      let wrong = 0;
      for (const loss of own) wrong += loss;
      baseRisk += wrong / lossScale / own.length / documents;
    }
    return { baseRisk, mustStay: Math.max(0, baseRisk - epsilon) };
  });
}
