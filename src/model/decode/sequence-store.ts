/** Where the sequence of a text comes from, and where it goes: fresh and freed, unless a conversation keeps its own. */
import type { Model } from "../model.js";
import { Sequence } from "../sequence.js";

/** A text that is about to be written. */
export interface OpenText {
  /** Which of the prompts of the call it follows. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** Positions that it may come to have. */
  readonly capacity: number;
}

export interface SequenceStore {
  /** A sequence whose tokens are the prompt's, of which at least the last has not run yet. */
  open(model: Model, text: OpenText): Sequence | Promise<Sequence>;
  /** Called once for every sequence that was opened, when its text has ended, has failed or was cancelled. */
  close(sequence: Sequence): void;
}

/** Makes a new sequence for every text, and frees it. */
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
