/**
 * The teacher of the heads: the frozen model's own next-token distribution at a set of positions, computed from the
 * states after its last block. All heads share the targets of a batch.
 */
import type { Model } from "../../model/index.js";
import { ROW_STATS, scope, type Tensor } from "../../tensor/index.js";
import { readStats } from "../heads/score.js";
import { requireFiniteTeacher } from "../states/finite-teacher.js";
import { topIdsOf } from "../states/frequent-tokens.js";

/** The teacher's targets at R positions. */
export interface Teacher {
  /** [R, V]. */
  readonly logits: Tensor;
  /** The token that the full model would emit at each of the R positions; the lowest id on ties. */
  readonly argmax: readonly number[];
  /** The k most likely tokens of every row, R·k ids, most likely first; empty if `createTeacher` had no `topK`. */
  readonly topIds: readonly number[];
}

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
