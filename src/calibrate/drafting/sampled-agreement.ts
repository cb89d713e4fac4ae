/**
 * Which drafts sampling would have accepted along a text that the full model sampled, where p is the model's
 * distribution and q the draft's. A draft x ~ q is made and accepted with probability
 *   q(x) min(1, p(x)/q(x)) = min(p(x), q(x)),   and x is the next token with probability p(x)
 * so, given the sampled token x, a draft was accepted with probability
 *   min(p(x), q(x)) / p(x) = min(1, q(x)/p(x))
 * One seeded random number per position decides, the same for all exits.
 */
import { acceptance } from "../../exits/draft/index.js";
import { processedDistribution, rowOf, type SamplingOptions } from "../../model/decode/index.js";
import type { Rng, Tensor } from "../../tensor/index.js";
import type { Agreement } from "../record/index.js";

/**
 * Returns agreement in this sense for a text `ids`, sampled after position `from` (nothing agrees before it) and
 * recorded without its last token. `sampling` is what the text was sampled with; it applies to drafts and targets.
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
    const targets = teacher.argmax.map((_, s) => (s < from ? undefined : { p: target(s), draw: rng.uniform() }));
    return async (logits) => {
      const draft = await read(logits);
      return Uint8Array.from(targets, (at, s) => {
        if (at === undefined) return 0;
        return Number(at.draw < acceptance(draft(s), at.p, ids[s + 1]!)); // acceptance(q, p, x) = min(1, q(x)/p(x))
      });
    };
  };
}
