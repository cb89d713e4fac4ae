/**
 * Repetitions: texts often go on as they did before. The longest end of a text that occurs earlier in it says how, in
 * the token after that place (prompt lookup; Saxena 2023). Two tokens of a match are right about half of the time, nine
 * nearly always; a head that sees one position cannot know this.
 */

/** Tokens that are compared. */
const LONGEST = 16;

interface Repetition {
  /** Tokens that end the text and occur before, at most 16. */
  readonly length: number;
  /** What followed them at the latest of the longest matches; without one, 0. */
  readonly next: number;
}

export function repetitionIn(ids: readonly number[]): Repetition {
  let length = 0;
  let next = 0;
  for (let end = ids.length - 1; end > length && length < LONGEST; end--) {
    if (ids[end - 1 - length] !== ids[ids.length - 1 - length]) continue; // no longer than the one before
    let n = 0;
    while (n < LONGEST && ids[end - 1 - n] === ids[ids.length - 1 - n]) n++;
    if (n > length) [length, next] = [n, ids[end]!];
  }
  return { length, next };
}
