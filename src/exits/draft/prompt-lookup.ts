/**
 * Drafting without a model, for comparison: the last n tokens are looked up in the text so far, and what followed them
 * there, at their latest occurrence, is the draft (prompt lookup decoding, Saxena 2023). Longer matches come first. It
 * costs nothing to draft and gains where a text repeats itself.
 */
import { requireInteger } from "../../errors.js";
import type { Drafter } from "./speculate.js";

export interface PromptLookupOptions {
  /** Longest match tried. @default 3 */
  readonly longest?: number;
  /** Shortest match taken. @default 1 */
  readonly shortest?: number;
}

export function promptLookupDrafter({ longest = 3, shortest = 1 }: PromptLookupOptions = {}): Drafter {
  requireInteger("promptLookup: shortest", shortest, 1);
  requireInteger("promptLookup: longest", longest, shortest);
  return (requests) =>
    Promise.resolve(
      requests.map(({ sequence }) => {
        const id = lookUp(sequence.ids, longest, shortest);
        return id === undefined ? undefined : { id, depth: 0 };
      }),
    );
}

/** The token after the latest earlier occurrence of the last n ids, n from `longest` down to `shortest`. */
export function lookUp(ids: readonly number[], longest: number, shortest: number): number | undefined {
  for (let n = Math.min(longest, ids.length - 1); n >= shortest; n--) {
    for (let end = ids.length - 1; end >= n; end--) {
      let same = 0;
      while (same < n && ids[end - 1 - same] === ids[ids.length - 1 - same]) same++;
      if (same === n) return ids[end];
    }
  }
  return undefined;
}
