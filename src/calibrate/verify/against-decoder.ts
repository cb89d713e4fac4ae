/**
 * A certified policy run on one document, token by token, by the decoder that `generate` uses: at each position it
 * emits a token, which is compared with the full model's on the same prefix; then the document's own next token
 * follows. No code that makes certificates has a part in it.
 */
import { earlyExitDecoder } from "../../exits/decode/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import { argmaxOf, createSampler } from "../../model/decode/index.js";
import { Sequence } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import type { Certificate } from "../certificate/index.js";

/** What a threshold vector does on one document. */
export interface Counted {
  /** [exits] tokens that left. */
  readonly left: readonly number[];
  /** [exits] of these, those that differ from the full model's. */
  readonly wrong: readonly number[];
  /** Tokens that ran all blocks and differ. */
  readonly deep: number;
}

/** Runs the decoder on the windows of a document and counts from position `from` on. */
export async function runDocument(
  { policy, sequenceLength }: Certificate,
  heads: ExitHeads,
  { ids, from }: { readonly ids: readonly number[]; readonly from: number },
): Promise<Counted> {
  const { model } = heads;
  const { vocabSize } = model.config;
  const counted = { left: policy.exits.map(() => 0), wrong: policy.exits.map(() => 0), deep: 0 };
  const decoder = earlyExitDecoder(heads, policy);
  const sampler = createSampler({}, createRng(0)); // greedy: it draws nothing
  for (let begin = 0; begin < ids.length; begin += sequenceLength) {
    const window = ids.slice(begin, begin + sequenceLength);
    if (window.length < 2) continue; // a single token at the end is not judged
    const logits = await model.logits(window); // [T, V]
    const sequence = new Sequence(model, window.length);
    try {
      for (const [t, id] of window.entries()) {
        sequence.append(id);
        const [round] = await decoder.next([{ sequence, sampler, room: 1 }]);
        if (begin + t < from) continue;
        const { id: emitted, exit } = round!.tokens[0]!;
        const differs = Number(emitted !== argmaxOf(logits.subarray(t * vocabSize, (t + 1) * vocabSize)));
        if (exit === undefined) counted.deep += differs;
        else {
          counted.left[exit]!++;
          counted.wrong[exit]! += differs;
        }
      }
    } finally {
      sequence.dispose();
    }
  }
  return counted;
}
