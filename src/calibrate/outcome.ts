/**
 * What a policy would have done on recorded text (teacher-forced): who leaves where, how often the emitted token is the full model's,
 * how deep tokens go. Exact for keys and values filled lazily or shared; for `propagate` it leaves out what exits do to later tokens.
 */
import type { Policy } from "../exits/policy.js";
import { confidenceAt, exitFires, scoreOf } from "../exits/score.js";
import type { CalibrationRecords } from "./record.js";

export interface ExitOutcome {
  readonly depth: number;
  /** Positions that reached this exit. */
  readonly reached: number;
  /** Positions that left here. */
  readonly left: number;
  /** left / reached. */
  readonly coverage: number;
  /** Share of those that left here with the full model's token; NaN where none left. */
  readonly agreement: number;
}

export interface PolicyOutcome {
  readonly documents: number;
  readonly positions: number;
  /** Share of all positions with the full model's token. */
  readonly agreement: number;
  /** Mean over documents of each document's agreement. */
  readonly documentAgreement: number;
  /** Share of positions that left at any exit. */
  readonly coverage: number;
  readonly meanDepth: number;
  readonly exits: readonly ExitOutcome[];
}

/** Plays a policy over records. */
export function playPolicy({ documents, numLayers }: CalibrationRecords, { score, exits }: Pick<Policy, "score" | "exits">): PolicyOutcome {
  const reached = exits.map(() => 0);
  const left = exits.map(() => 0);
  const agreed = exits.map(() => 0);
  let [positions, wrong, depthSum, documentAgreement] = [0, 0, 0, 0];
  for (const document of documents) {
    let wrongHere = 0;
    for (let t = 0; t < document.positions; t++) {
      const exit = exits.findIndex(({ threshold }, e) => {
        reached[e]!++;
        return exitFires(scoreOf(confidenceAt(document.exits[e]!.stats, t), score), threshold, score);
      });
      depthSum += exits[exit]?.depth ?? numLayers;
      if (exit < 0) continue;
      left[exit]!++;
      if (document.exits[exit]!.agrees[t] === 1) agreed[exit]!++;
      else wrongHere++;
    }
    positions += document.positions;
    wrong += wrongHere;
    documentAgreement += 1 - wrongHere / document.positions;
  }
  return {
    documents: documents.length, positions, documentAgreement: documentAgreement / documents.length,
    agreement: 1 - wrong / positions,
    coverage: left.reduce((sum, count) => sum + count, 0) / positions,
    meanDepth: depthSum / positions,
    exits: exits.map(({ depth }, e) => ({ depth, reached: reached[e]!, left: left[e]!, coverage: left[e]! / reached[e]!, agreement: agreed[e]! / left[e]! })),
  };
}
