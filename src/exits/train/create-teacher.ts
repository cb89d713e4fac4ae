/**
 * The teacher: the frozen model's own next-token distribution, from the states after its last block. All heads share a
 * batch's targets.
 */
import type { Model } from "../../model/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { confidencesIn, readStats } from "../heads/score.js";
import { requireFiniteTeacher } from "../states/finite-teacher.js";
import { topIdsOf } from "../states/frequent-tokens.js";

/** At R positions. */
export interface Teacher {
  /** [R, V]. */
  readonly logits: Tensor;
  /** [R]; the lowest id on ties. */
  readonly argmax: readonly number[];
  /** The k most likely tokens of every row, R·k, most likely first; empty without `topK`. */
  readonly topIds: readonly number[];
}

/** Targets at final states [R, C], before the final norm. Throws a NumericsError for NaN or infinite logits. */
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
    argmax: confidencesIn(stats).map(({ argmax }) => argmax),
    topIds: topK > 0 ? topIdsOf(await logits.read(), model.config.vocabSize, topK) : [],
  };
}
