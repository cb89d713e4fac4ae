/** What no threshold can escape, from records (procedures/feasibility.ts). */
import type { Claim } from "./certificate/index.js";
import { type CalibrationRecords, type ExitFeasibility, feasibilityOf, tableOf } from "./record/index.js";

export interface FeasibilityOptions {
  /** @default 0.95 */
  readonly agreement?: number;
  /** @default "overall" */
  readonly claim?: Exclude<Claim, "anyChange">;
}

/**
 * Per exit, the share of tokens on which it differs from the full model, and the least share that must stay if a policy
 * with this exit alone is to keep the agreement, whatever its score and thresholds.
 */
export function feasibility(
  { documents }: Pick<CalibrationRecords, "documents">,
  { agreement = 0.95, claim = "overall" }: FeasibilityOptions = {},
): ExitFeasibility[] {
  return feasibilityOf(tableOf(documents, "entropy"), { epsilon: 1 - agreement, selective: claim === "selective" });
}
