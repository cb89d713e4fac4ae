/**
 * What a head is taught: the frozen model's own next-token distribution at a set of positions (`createTeacher` makes it
 * of the model's states), over the vocabulary or, for a shortlist head, over its buckets.
 */
import type { Tensor } from "../../tensor/index.js";

/** The teacher's targets at R positions. */
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
