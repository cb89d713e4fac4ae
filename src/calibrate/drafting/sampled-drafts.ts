/**
 * Which drafts sampling would have accepted along a text that the full model sampled. A draft x ~ q is accepted and
 * becomes the token with probability q(x) · min(1, p(x)/q(x)) = min(p(x), q(x)), and x is the token with p(x) in all;
 * so, given the token x that was written, a draft was accepted with probability min(p(x), q(x)) / p(x) = min(1,
 * q(x)/p(x)). One seeded draw a position decides, for all exits alike.
 */
import { acceptance } from "../../exits/draft/index.js";
import { processedDistribution, rowOf, type SamplingOptions } from "../../model/decode/index.js";
import type { Rng, Tensor } from "../../tensor/index.js";
import type { Agreement } from "../record/index.js";

/**
 * Agreement in this sense, for a text `ids` that was sampled from position `from` on (before that nothing agrees) and
 * recorded without its last token, after which nothing is asked. `sampling` are the processors of the text, on drafts
 * and targets alike.
 */
export function sampledAgreement(
  ids: readonly number[],
  from: number,
  sampling: Required<SamplingOptions>,
  rng: Rng,
): Agreement {
  const read = async (logits: Tensor): Promise<(s: number) => Float64Array> => {
    const values = await logits.read();
    return (s) => processedDistribution(rowOf(values, s, logits.shape[1]!), ids.slice(0, s + 1), sampling);
  };
  return async (teacher) => {
    const target = await read(teacher.logits);
    const asked = teacher.argmax.map((_, s) => (s < from ? undefined : { p: target(s), draw: rng.uniform() }));
    return async (logits) => {
      const draft = await read(logits);
      // acceptance(q, p, x) is min(1, q(x)/p(x)).
      return Uint8Array.from(asked, (one, s) =>
        Number(one !== undefined && one.draw < acceptance(draft(s), one.p, ids[s + 1]!)),
      );
    };
  };
}
