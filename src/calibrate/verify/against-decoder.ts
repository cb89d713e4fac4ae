/**
 * A certified policy run on one document, token by token, by the decoder that `generate` uses: each token (sampled: its
 * distribution) is compared with the reference's on the same prefix; then the document's own token follows. No code
 * that makes certificates takes part.
 */
import { earlyExitDecoder } from "../../exits/decode/decode.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { argmaxOf, isPlainGreedy, processedDistribution } from "../../model/decode/sampling.js";
import type { Sampler } from "../../model/decode/decoder.js";
import { totalVariation } from "../../model/decode/total-variation.js";
import { prefill } from "../../model/advance.js";
import { type Model, Sequence } from "../../model/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import type { Certificate } from "../certificate/certificate.js";

export interface Counted {
  /** [exits] tokens that left. */
  readonly left: readonly number[];
  /** [exits] of these, those that differ, counted as in the certificate. */
  readonly wrong: readonly number[];
  /** Tokens that ran all blocks and differ, counted alike. */
  readonly deep: number;
  /** New tokens of a text that the policy wrote itself. */
  readonly written?: number;
}

/** Rows of logits in memory at once. */
const ROWS = 64;

/** Positions before `from` are a prompt. */
export async function runDocument(
  { policy, sampling, loss: counts }: Certificate,
  heads: ExitHeads,
  { ids, from }: { readonly ids: readonly number[]; readonly from: number },
  reference: Model = heads.model,
): Promise<Counted> {
  const { vocabSize, numLayers } = heads.model.config;
  const layers = reference.config.numLayers;
  const counted = { left: policy.exits.map(() => 0), wrong: policy.exits.map(() => 0), deep: 0 };
  const decoder = earlyExitDecoder(heads, policy);
  const greedy = isPlainGreedy(sampling);
  let used: Float64Array | undefined;
  /** Draws nothing. */
  const sampler: Sampler = {
    greedy,
    distribution: (logits, seen) => processedDistribution(logits, seen, sampling),
    draw(p) {
      used = p;
      return argmaxOf(p);
    },
    chance: () => false,
  };
  const whole = new Sequence(reference, ids.length);
  const sequence = new Sequence(heads.model, ids.length);
  try {
    whole.append(...ids);
    await prefill(reference, [{ sequence: whole, positions: whole.pending(layers) }], layers);
    sequence.append(...ids.slice(0, from));
    await prefill(heads.model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
    let logits: Float32Array = new Float32Array(); // [ROWS, V]
    for (let t = from; t < ids.length; t++) {
      const row = (t - from) % ROWS;
      const end = Math.min(ids.length, t + ROWS);
      if (row === 0) logits = await valuesOf(() => reference.unembed(whole.hidden(t, end)));
      sequence.append(ids[t]!);
      const [round] = await decoder.next([{ sequence, sampler, room: 1 }]);
      const { id: emitted, exit } = round!.tokens[0]!;
      const right = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      const lawful = greedy ? undefined : processedDistribution(right, sequence.ids, sampling);
      const loss =
        counts === "totalVariation" ? totalVariation(lawful!, used!) : Number(emitted !== argmaxOf(lawful ?? right));
      if (exit === undefined) counted.deep += loss;
      else {
        counted.left[exit]!++;
        counted.wrong[exit]! += loss;
      }
    }
  } finally {
    whole.dispose();
    sequence.dispose();
  }
  return counted;
}
