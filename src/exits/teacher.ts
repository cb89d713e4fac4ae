/**
 * The teacher of the heads: the frozen model's own next-token distribution at a set of positions, computed from the
 * states after its last block. Targets are made once per batch and shared by all heads.
 */
import type { Model } from "../model/model.js";
import { argmax } from "../tensor/ops/index.js";
import { scope, type Tensor } from "../tensor/tensor.js";

export interface Teacher {
  /** [R, V]. */
  readonly logits: Tensor;
  /** The token the full model would emit at each of the R positions; the lowest id on ties. */
  readonly argmax: readonly number[];
  /**
   * The topK most likely tokens of every row, R·topK ids, most likely first; empty unless `createTeacher` was asked for
   * them.
   */
  readonly topIds: readonly number[];
}

/** Targets at the positions whose final states are given: [R, C] after the last block, before the final norm. */
export async function createTeacher(model: Model, finalStates: Tensor, { topK = 0 } = {}): Promise<Teacher> {
  const logits = scope(() => model.unembed(finalStates));
  return {
    logits,
    argmax: await argmax(logits),
    topIds: topK > 0 ? topIdsOf(await logits.read(), model.config.vocabSize, topK) : [],
  };
}

/** The k largest of every row of values [R, width]; lower ids first among equals. */
export function topIdsOf(values: Float32Array, width: number, k: number): number[] {
  const ids: number[] = [];
  for (let begin = 0; begin < values.length; begin += width) {
    const row = values.subarray(begin, begin + width);
    const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    ids.push(...order.slice(0, k));
  }
  return ids;
}
