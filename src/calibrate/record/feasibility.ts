/**
 * A floor under every policy (arXiv 2606.29054). If all tokens left at an exit, a share mu would differ from the full
 * model's. With that exit alone, a risk of alpha takes at least mu - alpha of the tokens to stay, however good the
 * score: each token that stays removes at most one that differs.
 */
import { meansOf } from "../../risk/certify-losses.js";
import { lossesOf } from "../procedures/tally.js";
import { tallyVectors, type TokenTable } from "../procedures/token-table.js";
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

export function feasibilityOf(table: TokenTable, epsilon: number): ExitFeasibility[] {
  const exits = [...table.oriented.keys()];
  const alone = exits.map((exit) => exits.map((other) => (other === exit ? -Infinity : Infinity)));
  const risks = meansOf(lossesOf(tallyVectors(table, alone), "token"));
  return risks.map((baseRisk) => ({ baseRisk, mustStay: Math.max(0, baseRisk - epsilon) }));
}
