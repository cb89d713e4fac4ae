/**
 * The teacher of the heads: the frozen model's own next-token distribution at a set of positions, computed from the
 * states after its last block. All heads share the targets of a batch.
 */
import type { Model } from "../../model/index.js";
import { argmax } from "../../tensor/ops/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { type Teacher, topIdsOf } from "../heads/index.js";

/** Targets at the R positions with these final states: [R, C], after the last block and before the final norm. */
export async function createTeacher(model: Model, finalStates: Tensor, { topK = 0 } = {}): Promise<Teacher> {
  const logits = scope(() => model.unembed(finalStates));
  return {
    logits,
    argmax: await argmax(logits),
    topIds: topK > 0 ? topIdsOf(await logits.read(), model.config.vocabSize, topK) : [],
  };
}
