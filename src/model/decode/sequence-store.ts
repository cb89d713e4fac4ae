/** Sequences of texts: fresh and freed, unless a conversation keeps its own. */
import type { Model } from "../model.js";
import { Sequence } from "../sequence.js";

export interface OpenText {
  /** Index of its prompt in the call. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** Positions that it may come to have. */
  readonly capacity: number;
}

export interface SequenceStore {
  /** Its tokens are the prompt's, of which at least the last has not run yet. */
  open(model: Model, text: OpenText): Sequence | Promise<Sequence>;
  /** Called once per opened sequence, when its text has ended, failed or was cancelled. */
  close(sequence: Sequence): void;
}

export const freshSequences = {
  open(model: Model, { promptIds, capacity }: OpenText): Sequence {
    const sequence = new Sequence(model, capacity);
    sequence.append(...promptIds);
    return sequence;
  },
  close: (sequence: Sequence): void => {
    sequence.dispose();
  },
} satisfies SequenceStore;
/** Length of the common beginning, in tokens. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
