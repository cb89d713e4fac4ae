/**
 * The threshold of one head as published (arXiv 2407.21082, section on thresholds; `maxCoverage` in the released code).
 * Sort positions by oriented score; A_k is the mean agreement of the k most confident. For a level a the threshold is
 *   the score at the largest k with A_k >= a
 * Equal scores form one block: k counts whole blocks. A head that never reaches the level gets "never" (the released
 * code exits anyway). Kept for comparison: the rule carries NO guarantee. On a population where some threshold reaches
 * the target exactly, the chosen threshold misses it about half of the time; heads after the first are calibrated on
 * tokens that they will not answer; and tokens of one document are treated as independent.
 */
import { OptionError, requireNumber } from "../../errors.js";
import { orientScore, type ScoreName, type Threshold } from "../../exits/heads/score.js";
import { rawThreshold } from "../procedures/token-table.js";

interface PaperOptions {
  /** @default "entropy" */
  readonly score?: ScoreName;
}

export const paperDefaults = { score: "entropy" } as const satisfies PaperOptions;

/** Returns the threshold of one head for a level, from raw scores and agreements at the same positions. */
export function paperThreshold(
  scores: ArrayLike<number>,
  agrees: ArrayLike<boolean | number>,
  level: number,
  { score = paperDefaults.score }: PaperOptions = {},
): Threshold {
  requireNumber("paperThreshold: level", level, 1);
  if (scores.length !== agrees.length) {
    throw new OptionError("lengths-differ", `paperThreshold: ${scores.length} scores but ${agrees.length} agreements`, {
      scores: scores.length,
      agrees: agrees.length,
    });
  }
  const oriented = Float64Array.from(scores, (value) => orientScore(value, score));
  return rawThreshold(orientedThreshold(oriented, agrees, level), score);
}

/** A threshold of oriented scores; Infinity is "never". */
export function orientedThreshold(oriented: Float64Array, agrees: ArrayLike<boolean | number>, level: number): number {
  if (oriented.some((value) => Number.isNaN(value))) {
    throw new OptionError("score-nan", "paperThreshold: a score is NaN; the head's logits are broken");
  }
  const order = Uint32Array.from(oriented, (_, i) => i).sort((a, b) => oriented[b]! - oriented[a]!);
  let agreed = 0;
  let threshold = Infinity;
  for (const [rank, i] of order.entries()) {
    if (agrees[i]) agreed++;
    const isLastOfBlock = rank + 1 === order.length || oriented[order[rank + 1]!] !== oriented[i];
    if (isLastOfBlock && agreed / (rank + 1) >= level) threshold = oriented[i]!;
  }
  return threshold;
}
