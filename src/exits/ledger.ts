/**
 * What a block and a head cost, in multiply-adds per decoded token at a context of T (norms, activations and softmax left out):
 *   block: C·HD (query) + 2·C·GD (keys, values) + HD·C (out) + 2·T·HD (scores and their sum) + 2 or 3·C·F (MLP)
 *   dense C·V    tied C·C + C·V    lowRank r·(C + V)    mlp 2·C·m + C·V
 */
import type { ModelConfig } from "../model/config.js";
import type { HeadKind } from "./head-kinds.js";

/** The context length at which costs are quoted, unless the model's own is shorter. */
export const QUOTED_CONTEXT = 256;

/** Multiply-adds of one block for one token. */
export function blockCost({ hiddenSize: c, numHeads, numKvHeads, headDim, intermediateSize: f, gatedMlp }: ModelConfig, context = QUOTED_CONTEXT): number {
  const [query, keyValue] = [numHeads * headDim, numKvHeads * headDim];
  return 2 * c * query + 2 * c * keyValue + 2 * context * query + (gatedMlp ? 3 : 2) * c * f;
}

/** Multiply-adds of one head for one token; `inner` is r of lowRank (C/4 by default) or m of mlp (C by default). */
export function headCost({ hiddenSize: c, vocabSize: v }: Pick<ModelConfig, "hiddenSize" | "vocabSize">, kind: HeadKind, inner = kind === "lowRank" ? Math.floor(c / 4) : c): number {
  switch (kind) {
    case "dense": return c * v;
    case "tied": return c * c + c * v;
    case "lowRank": return inner * (c + v);
    case "mlp": return 2 * c * inner + c * v;
  }
}
