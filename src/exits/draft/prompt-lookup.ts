/**
 * Prompt lookup decoding (Saxena 2023), for comparison: drafting without a model. The last n tokens are looked up in
 * the text so far, and the token after their latest earlier occurrence is the draft. Longer matches are tried first.
 * Drafting costs nothing; it gains if a text repeats itself.
 */
import { requireInteger } from "../../errors.js";
import type { Drafter } from "./speculate.js";

export interface PromptLookupOptions {
  /** Longest match to try, in tokens. @default 3 */
  readonly longest?: number;
  /** Shortest match to accept, in tokens. @default 1 */
  readonly shortest?: number;
}

/** A drafter that looks tokens up in the text so far. Its drafts have depth 0 and no exit. */
export function promptLookupDrafter({ longest = 3, shortest = 1 }: PromptLookupOptions = {}): Drafter {
  requireInteger("promptLookup: shortest", shortest, 1);
  requireInteger("promptLookup: longest", longest, shortest);
  return (requests) => {
    const drafts = requests.map(({ sequence }) => {
      const id = lookUp(sequence.ids, longest, shortest);
      return id === undefined ? undefined : { id, depth: 0 };
    });
    return Promise.resolve(drafts);
  };
}

/** The token after the latest earlier occurrence of the last n ids, with n from `longest` down to `shortest`. */
export function lookUp(ids: readonly number[], longest: number, shortest: number): number | undefined {
  for (let n = Math.min(longest, ids.length - 1); n >= shortest; n--) {
    for (let end = ids.length - 1; end >= n; end--) {
      let same = 0; // ids before `end` that match the last ids
      while (same < n && ids[end - 1 - same] === ids[ids.length - 1 - same]) same++;
      if (same === n) return ids[end];
    }
  }
  return undefined;
}
