/** Origin of the keys and values of a position, in words. */
import type { KeyValueSource, KeyValueSpan } from "../../engine/index.js";

/** A span of blocks, and what happened there. `textOf` shows a token of the text. */
export function keyValueWords(
  { first, last, source, token }: KeyValueSpan,
  textOf: (token: number) => string,
): Readonly<Record<"blocks" | "words", string>> {
  return {
    blocks: first === last ? `Block ${first}` : `Blocks ${first} to ${last}`,
    words: `${WORDS[source]}${token === undefined ? "" : ` ${textOf(token)}`}`,
  };
}

const WORDS: Readonly<Record<KeyValueSource, string>> = {
  run: "ran to choose this token",
  runForFill: "ran after the exit, up to the block whose keys and values are shared",
  runLater: "ran later, in one batch with",
  verified: "ran when the full model verified the draft",
  made: "did not run; its own weights made them from the state at the exit, exactly as a full pass does",
  projected: "did not run; one learned product made them from the state at the exit, which is an approximation",
  shared: "have none of their own; they read those of the block below",
  missing: "never ran; no later token went so deep",
};
