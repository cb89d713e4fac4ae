/**
 * What a head is trained on: the frozen model's own next-token distribution at a set of positions, over the vocabulary
 * or over the head's own output space. `createTeacher` computes it from the model's states.
 */
import type { Tensor } from "../../tensor/index.js";

/** The teacher's targets at R positions. */
export interface Teacher {
  /** [R, V]. */
  readonly logits: Tensor;
  /** The token that the full model would emit at each of the R positions; the lowest id on ties. */
  readonly argmax: readonly number[];
  /** The k most likely tokens of every row, R·k ids, most likely first; empty if `createTeacher` had no `topK`. */
  readonly topIds: readonly number[];
}

/** The positions of the k largest values of every row of [R, width], R·k in all; lower ones first among equals. */
export function topIdsOf(values: Float32Array, width: number, k: number): number[] {
  const ids: number[] = [];
  for (let begin = 0; begin < values.length; begin += width) {
    const row = values.subarray(begin, begin + width);
    const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    ids.push(...order.slice(0, k));
  }
  return ids;
}
