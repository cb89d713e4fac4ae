/**
 * Conformal risk control on a matrix of losses (Angelopoulos et al., 2022; the formula is in bounds/conformal-risk.ts).
 * It accepts candidates up to the laxest whose corrected mean loss is at most α, and bounds the expected loss only: a
 * single calibration may exceed α. The method needs losses that never decrease from one candidate to the next. Those of
 * early exits may decrease, so each unit's loss is replaced by its running maximum over this candidate and all stricter
 * ones, which never decreases and is never smaller than the loss itself.
 */
import { crcLargestRisk, requireLevel } from "../bounds/index.js";
import { type LossMatrix, requireLossMatrix } from "./tally.js";

export interface RiskControlResult {
  /** Indices of the accepted candidates: the prefix of the order up to the laxest one permitted. */
  readonly accepted: readonly number[];
  /** Per candidate, the mean over units of the running maximum of the loss. */
  readonly worstSoFar: readonly number[];
}

/** Conformal risk control at level α. Candidates are ordered from strict to lax. */
export function conformalRiskControl(losses: LossMatrix, level: number): RiskControlResult {
  requireLossMatrix("conformalRiskControl", losses);
  requireLevel("conformalRiskControl", level);
  const { units, candidates, values } = losses;
  const sums = new Float64Array(candidates);
  for (let unit = 0; unit < units; unit++) {
    let worst = 0;
    for (let candidate = 0; candidate < candidates; candidate++) {
      worst = Math.max(worst, values[unit * candidates + candidate]!);
      sums[candidate]! += worst;
    }
  }
  const worstSoFar = Array.from(sums, (sum) => sum / units);
  // The means never decrease, so no candidate after the first failure passes.
  const failure = worstSoFar.findIndex((risk) => risk > crcLargestRisk(units, level));
  return { accepted: Array.from({ length: failure < 0 ? candidates : failure }, (_, i) => i), worstSoFar };
}
