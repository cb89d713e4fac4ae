/**
 * What a document loses under each candidate, by claim: the share of its tokens that change, or 1 if any changes. If
 * documents were given more than once, the loss that counts every copy must keep the claim too:
 *   Σ_u (Σ_{d in u} c_d x_d / n_u) / Σ_u (Σ_{d in u} c_d / n_u)  <=  ε     c_d copies, n_u documents of unit u
 */
import type { Claim } from "../certificate/index.js";
import {
  anyChangeLosses,
  type Counts,
  excessLosses,
  type LossMatrix,
  overallLosses,
  type Tally,
  unitMeans,
} from "../procedures/index.js";

/** The losses of a claim; those of selective claims are not tested, only shown. */
export function lossesOf(claim: Claim): (tally: Tally) => LossMatrix {
  return claim === "anyChange" ? anyChangeLosses : overallLosses;
}

export interface FairnessOptions {
  readonly claim: Claim;
  readonly unit: "document" | "group" | "token";
  readonly epsilon: number;
  /** Per document of the tally, how many of the documents given are this one. */
  readonly copies: readonly number[];
  /** The exits that are judged (selective claims). @default those in use */
  readonly exits?: readonly number[];
}

/** Whether a candidate's loss keeps the claim if every copy of a document counts. */
export function isFair(
  tally: Tally,
  candidate: number,
  { claim, unit, epsilon, copies, exits: judged }: FairnessOptions,
): boolean {
  if (copies.every((count) => count === 1)) return true;
  const weighted = (values: Float64Array): number => weightedMean(values, tally, copies);
  const { candidates, exits, documents, left, wrong, active } = tally;
  if (claim !== "selective") {
    const { values } = lossesOf(claim)(withoutUnits(tally));
    return weighted(Float64Array.from({ length: documents }, (_, d) => values[d * candidates + candidate]!)) <= epsilon;
  }
  const all = Array.from({ length: exits }, (_, exit) => exit);
  const used = judged ?? all.filter((exit) => active[candidate * exits + exit] === 1);
  return used.every((exit) => {
    const at = candidate * exits + exit;
    const sumOf = (counts: Counts): number =>
      copies.reduce((sum, count, d) => sum + count * counts[d * candidates * exits + at]!, 0);
    if (unit === "token") return sumOf(wrong) <= epsilon * sumOf(left);
    return sumOf(left) === 0 || weighted(excessLosses(withoutUnits(tally), at, epsilon)) <= epsilon;
  });
}

function withoutUnits(tally: Tally): Tally {
  const copy: { -readonly [Key in keyof Tally]: Tally[Key] } = { ...tally };
  delete copy.unitStarts;
  return copy;
}

/** The mean over units, documents weighted by their copies. */
function weightedMean(values: Float64Array, tally: Tally, copies: readonly number[]): number {
  const sum = (of: Float64Array): number => of.reduce((total, value) => total + value, 0);
  const weights = unitMeans(Float64Array.from(copies), tally);
  const weighted = unitMeans(
    values.map((value, d) => value * copies[d]!),
    tally,
  );
  return sum(weighted) / sum(weights);
}
