/**
 * Which drafts sampling would have accepted along a text that the full model sampled. A draft x ~ q is accepted and becomes the token with
 * probability q(x) · min(1, p(x)/q(x)) = min(p(x), q(x)), and x is the token with p(x) in all; so, given the token x that was written, a draft
 * was accepted with probability min(p(x), q(x)) / p(x) = min(1, q(x)/p(x)). One seeded draw a position decides, for all exits alike.
 */
import { disposeBatch, hiddenBatch } from "../exits/batches.js";
import type { ExitHeads } from "../exits/heads.js";
import { acceptance } from "../exits/rejection.js";
import { rowOf } from "../model/decoder.js";
import { processedDistribution, type SamplingOptions } from "../model/sampling.js";
import type { Rng } from "../tensor/rng.js";
import { scope, type Tensor } from "../tensor/tensor.js";

/**
 * Per exit and position of ids (its last token excepted: nothing is asked after it), 1 where a draft of the next token would have been
 * accepted; 0 before position `from`. `sampling` are the processors that the text was sampled with, on drafts and targets alike.
 */
export async function acceptedDrafts({ model, heads, depths }: ExitHeads, ids: readonly number[], from: number, sampling: Required<SamplingOptions>, rng: Rng): Promise<Uint8Array[]> {
  const asked = ids.slice(0, -1);
  const draws = asked.map(() => rng.uniform());
  const batch = hiddenBatch(model, [asked], depths);
  const read = async (logits: Tensor): Promise<(s: number) => Float64Array> => {
    const values = await logits.read();
    logits.dispose();
    return (s) => processedDistribution(rowOf(values, s, model.config.vocabSize), ids.slice(0, s + 1), sampling);
  };
  const target = await read(scope(() => model.unembed(batch.final)));
  const targets = asked.map((_, s) => (s < from ? undefined : target(s)));
  const accepted: Uint8Array[] = [];
  for (const head of heads) {
    const draft = await read(scope(() => head.logits(batch.hidden.get(head.depth)!)));
    // acceptance(q, p, x) is min(1, q(x)/p(x)).
    accepted.push(Uint8Array.from(targets, (p, s) => Number(p !== undefined && draws[s]! < acceptance(draft(s), p, ids[s + 1]!))));
  }
  disposeBatch(batch);
  return accepted;
}
