/** The sequences of passages: one for each, with the context read. */
import type { CancelSignal } from "../cancel-signal.js";
import { type Model, prefill, Sequence } from "../model/index.js";
import type { Passage } from "./passages.js";

/** A passage that is being processed, and its sequence. */
export interface Lane {
  readonly sequence: Sequence;
  readonly passage: Passage;
}

/**
 * Returns a sequence for every passage, with its context but the last token run through all blocks. Equal contexts run
 * once and are copied.
 */
export async function openLanes(
  model: Model,
  passages: readonly Passage[],
  signal: CancelSignal | undefined,
): Promise<Lane[]> {
  const { numLayers } = model.config;
  const longest = longestOf(passages);
  const first = new Map<string, Sequence>();
  const opened: Sequence[] = [];
  try {
    for (const { context } of passages) {
      const key = context.join();
      if (first.has(key)) continue;
      const sequence = new Sequence(model, context.length + longest);
      opened.push(sequence);
      sequence.append(...context.slice(0, -1));
      first.set(key, sequence);
    }
    const read = opened.filter(({ length }) => length > 0);
    const work = read.map((sequence) => ({ sequence, positions: sequence.pending(numLayers) }));
    await prefill(model, work, numLayers, { signal });
    const taken = new Set<string>();
    return passages.map((passage) => {
      const key = passage.context.join();
      if (!taken.has(key)) {
        taken.add(key);
        return { sequence: first.get(key)!, passage };
      }
      const copy = first.get(key)!.clone();
      opened.push(copy);
      return { sequence: copy, passage };
    });
  } catch (error) {
    for (const sequence of opened) sequence.dispose();
    throw error;
  }
}

/** The length of the longest continuation. */
export function longestOf(passages: readonly Passage[]): number {
  return Math.max(...passages.map(({ continuation }) => continuation.length));
}
