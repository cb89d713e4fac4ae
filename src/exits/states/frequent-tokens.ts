/** The tokens that a model emits most often: for heads that emit few, and for lists to train on. */
import { requireInteger } from "../../errors.js";
import type { Document, Model } from "../../model/index.js";
import { markedWindows } from "../../model/documents.js";
import { recordStates } from "./record-states.js";

interface FrequentTokensOptions {
  /** Positions at which predictions are counted. @default 16,384 */
  readonly positions?: number;
  /** Counts the tokens of the text too: right for text that the model wrote, where that costs no run. @default false */
  readonly countText?: boolean;
}

/**
 * The n tokens that the model predicts most often, ascending by id. Tokens that end a text are always among them: a
 * head must be able to emit them, and documents may lack them. If fewer than n are predicted, the lowest other ids are
 * added. Positions before a document's `from` do not count. Reads windows until they hold `positions` positions.
 */
export async function frequentTokens(
  model: Model,
  documents: readonly Document[],
  n: number,
  { positions = 16_384, countText = false }: FrequentTokensOptions = {},
): Promise<number[]> {
  const { vocabSize, eosTokenIds } = model.config;
  requireInteger("frequentTokens: n", n, 1, vocabSize - 1);
  const counts = new Float64Array(vocabSize);
  const windows = markedWindows(model, documents);
  let seen = 0;
  for (const window of windows) {
    if (countText) for (const id of window.ids.slice(window.from + 1)) counts[id]!++;
    if (seen >= positions) continue;
    seen += window.ids.length - window.from;
    const { argmax } = await recordStates(model, [window], []);
    for (const id of argmax) counts[id]!++;
  }
  for (const id of eosTokenIds) counts[id] = Infinity;
  return topIdsOf(Float32Array.from(counts), vocabSize, n).sort((a, b) => a - b);
}

/** The positions of the k largest values of every row of [R, width], R·k; lower ones first among equals. */
export function topIdsOf(values: Float32Array, width: number, k: number): number[] {
  const ids: number[] = [];
  for (let begin = 0; begin < values.length; begin += width) {
    const row = values.subarray(begin, begin + width);
    const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    for (const id of order.slice(0, k)) ids.push(id);
  }
  return ids;
}
