/**
 * The teacher of the heads: the frozen model's own next-token distribution at a set of positions, computed from the
 * states after its last block. All heads share the targets of a batch.
 */
import type { Model } from "../../model/index.js";
import { ROW_STATS, scope, type Tensor } from "../../tensor/index.js";
import { readStats, type Teacher, topIdsOf } from "../heads/index.js";
import { requireFiniteTeacher } from "../states/index.js";

/**
 * Targets at the R positions with these final states: [R, C], after the last block and before the final norm. Throws a
 * NumericsError if the model's logits hold NaN or infinity.
 */
export async function createTeacher(model: Model, finalStates: Tensor, { topK = 0 } = {}): Promise<Teacher> {
  const logits = scope(() => model.unembed(finalStates));
  const stats = await readStats(logits);
  try {
    requireFiniteTeacher(stats);
  } catch (error) {
    logits.dispose();
    throw error;
  }
  return {
    logits,
    argmax: Array.from(
      { length: stats.length / ROW_STATS.width },
      (_, r) => stats[r * ROW_STATS.width + ROW_STATS.argmax]!,
    ),
    topIds: topK > 0 ? topIdsOf(await logits.read(), model.config.vocabSize, topK) : [],
  };
}
