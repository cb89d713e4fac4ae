/**
 * Heads and scores, as records show them: how often an exit has the full model's token, and how well a score ranks
 * its tokens. Each exit is judged on all tokens, as if it were the only one.
 *   curve   agreement of the k most confident tokens
 *   auroc   P(an agreeing token scores higher than a disagreeing one), ties count half; 0.5: no better than chance
 *   aurc    area under the risk-coverage curve: the mean, over all coverages, of the share of disagreeing tokens among
 *           the most confident, where equal scores leave together; lower is better
 */
import type { CalibrationRecords } from "early-exits/calibrate";
import type { ScoreName } from "early-exits/exits";
import { orientScore, scoreAt } from "../../src/exits/heads/score.js";

interface Ranking {
  /** Agreement of all tokens. */
  readonly agreement: number;
  /** curve[k]: agreement of the k + 1 most confident tokens. */
  readonly curve: Float64Array;
  /** null if all tokens agree, or none. */
  readonly auroc: number | null;
  readonly aurc: number;
}

/** Ranks the tokens of one exit by a score. */
export function rankTokens(
  { documents }: Pick<CalibrationRecords, "documents">,
  exit: number,
  score: ScoreName,
): Ranking {
  const tokens = documents
    .flatMap(({ exits, positions }) => {
      const own = exits[exit]!;
      return Array.from({ length: positions }, (_, t) => ({
        confidence: orientScore(scoreAt(own, t, score), score),
        agrees: own.agrees[t]!,
      }));
    })
    .sort((a, b) => b.confidence - a.confidence);
  const n = tokens.length;
  const right = tokens.reduce((sum, { agrees }) => sum + agrees, 0);
  const curve = new Float64Array(n);
  let seen = 0;
  let pairs = 0;
  let risks = 0;
  let end = 0;
  for (let begin = 0; begin < n; begin = end) {
    // One block of equal scores at a time.
    let own = 0;
    for (; end < n && tokens[end]!.confidence === tokens[begin]!.confidence; end++) {
      own += tokens[end]!.agrees;
      curve[end] = (seen + own) / (end + 1);
    }
    // Each agreeing token beats the disagreeing ones after its block, and half of those in it.
    const wrong = end - begin - own;
    const wrongAfter = n - right - (begin - seen) - wrong;
    pairs += own * (wrongAfter + wrong / 2);
    seen += own;
    risks += (end - begin) * (1 - seen / end);
  }
  const possible = right * (n - right);
  return { agreement: right / n, curve, auroc: possible > 0 ? pairs / possible : null, aurc: risks / n };
}
