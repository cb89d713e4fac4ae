/** What a document loses under each candidate, by claim: the share of its tokens that change, or 1 if any changes. */
import type { Claim } from "../certificate/index.js";
import { anyChangeLosses, type LossMatrix, overallLosses, type Tally } from "../procedures/index.js";

/** The losses of a claim; those of selective claims are not tested, only shown. */
export function lossesOf(claim: Claim): (tally: Tally) => LossMatrix {
  return claim === "anyChange" ? anyChangeLosses : overallLosses;
}
