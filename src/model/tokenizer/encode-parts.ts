/**
 * Encoding in which the caller, not the spelling, decides what is a control token. If a text spells one, it is encoded
 * again by a tokenizer whose special tokens begin with an unpaired surrogate: no valid text contains one, so only the
 * caller's match, and everything around them (added tokens, normalisation, stripping) is as ever.
 */
import { TokenError } from "../../errors.js";
import type { TextParts } from "./tokenizer.js";

/** An unpaired surrogate. */
const MARK = "\uDBFF";

export interface PartsEncoderOptions {
  /** Ids by spelling. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Spelled-out special tokens become their ids. */
  readonly encode: (text: string) => number[];
  /** An encoder with this before the spelling of every special token. */
  readonly encoderWithPrefix: (prefix: string) => (text: string) => number[];
  /** May come from text. */
  readonly unknownId: number | undefined;
}

export function partsEncoder(options: PartsEncoderOptions): (parts: TextParts) => number[] {
  const { specialTokens, encode, encoderWithPrefix, unknownId } = options;
  const spellings = new Map(Array.from(specialTokens, ([spelling, id]) => [id, spelling]));
  const controlIds = new Set(spellings.keys());
  if (unknownId !== undefined) controlIds.delete(unknownId);
  let prefixed: ((text: string) => number[]) | undefined; // made when a text spells out a control token

  return (parts) => {
    const wanted = parts.filter((part) => typeof part === "number" && controlIds.has(part));
    const hasJustThese = (ids: readonly number[]): boolean => {
      const found = ids.filter((id) => controlIds.has(id));
      return found.length === wanted.length && found.every((id, i) => id === wanted[i]);
    };
    const joined = (prefix: string): string =>
      parts
        .map((part) => (typeof part === "number" ? prefix + spellingOf(spellings, part) : wellFormed(part)))
        .join("");

    const ids = encode(joined(""));
    if (hasJustThese(ids)) return ids;
    prefixed ??= encoderWithPrefix(MARK);
    const exact = prefixed(joined(MARK));
    if (hasJustThese(exact)) return exact;
    throw new TokenError(
      "control-token-merged",
      "encodeParts: the vocabulary joins ordinary text to a special token, so that text cannot be told from it; use " +
        "a tokenizer whose special tokens are no products of merges",
    );
  };
}

/** Unpaired surrogates become U+FFFD, as in UTF-8. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

function spellingOf(spellings: ReadonlyMap<number, string>, id: number): string {
  const spelling = spellings.get(id);
  if (spelling === undefined) {
    throw new TokenError(
      "token-not-special",
      `encodeParts: ${id} is not the id of a special token; give text instead`,
      {
        id,
      },
    );
  }
  return spelling;
}
