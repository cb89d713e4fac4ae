/** The tokens that a model predicts most often on a text: the ones for a head that can emit only a few. */
import { requireInteger } from "../../errors.js";
import { advance, cutWindows, type Document, type Model, Sequence } from "../../model/index.js";
import { argmax } from "../../tensor/ops/index.js";
import { scope } from "../../tensor/index.js";
import { topIdsOf } from "../heads/index.js";

/**
 * Returns the n tokens that the model predicts most often on documents, ascending by id. If it predicts fewer than n,
 * the lowest other ids are added. Reads windows until
 * they hold `positions` positions.
 */
export async function frequentTokens(
  model: Model,
  documents: readonly Document[],
  n: number,
  { positions = 16_384 } = {},
): Promise<number[]> {
  const { vocabSize, numLayers, maxPositionEmbeddings } = model.config;
  requireInteger("frequentTokens: n", n, 1, vocabSize - 1);
  const counts = new Float64Array(vocabSize);
  let seen = 0;
  for (const window of cutWindows(model, documents, Math.min(128, maxPositionEmbeddings))) {
    if (seen >= positions) break;
    seen += window.length;
    const sequence = new Sequence(model, window.length);
    sequence.append(...window);
    advance(model, [{ sequence, positions: window.map((_, s) => s) }], numLayers);
    const logits = scope(() => model.unembed(sequence.hidden(0, window.length)));
    for (const id of await argmax(logits)) counts[id]!++;
    logits.dispose();
    sequence.dispose();
  }
  return topIdsOf(Float32Array.from(counts), vocabSize, n).sort((a, b) => a - b);
}
