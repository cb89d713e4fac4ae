/**
 * Ids to text: each id is a byte string, and a text is the UTF-8 of their concatenation, without the leading spaces
 * that a sentencepiece decoder strips. So a stream holds back at most 3 bytes (an unfinished code point), and a token's
 * cost does not grow with the text. Invalid UTF-8 becomes U+FFFD as in the WHATWG standard. Left out: the cosmetic
 * `clean_up_tokenization_spaces`, which would break every round trip.
 */
import { TokenError } from "../../errors.js";
import { joined } from "../../tensor/formats/bytes.js";
import type { Tokenizer } from "./tokenizer.js";

export interface TokenBytes {
  /** One more than the highest id. */
  readonly size: number;
  /** undefined for an id that has no token. */
  bytes(id: number): Uint8Array | undefined;
  isSpecial(id: number): boolean;
  /** Spaces stripped from the start of a text, at most. */
  readonly leadingSpaces: number;
}

const EMPTY = new Uint8Array(0);
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export function decoding(tokens: TokenBytes): Pick<Tokenizer, "decode" | "stream"> {
  const texts: string[] = []; // of ids whose bytes end where a code point ends, decoded once
  return {
    decode(ids, { skipSpecialTokens = true } = {}) {
      const unnamed = ids.find((id) => tokens.bytes(id) === undefined);
      if (unnamed !== undefined) throw idError(unnamed, tokens.size);
      return utf8.decode(joined(Uint8Array, ids.map(byteReader(tokens, skipSpecialTokens))));
    },
    stream(prefixIds = []) {
      const read = byteReader(tokens, true);
      let held = EMPTY; // an unfinished code point, at most 3 bytes
      const push = (id: number): string => {
        if (!Number.isInteger(id) || id < 0 || id >= tokens.size) throw idError(id, tokens.size);
        const own = read(id);
        const isWhole = held.length === 0 && completeLength(own) === own.length;
        if (isWhole) {
          // The usual case. The text is remembered unless the id was special or lost leading spaces.
          return own.length === tokens.bytes(id)?.length ? (texts[id] ??= utf8.decode(own)) : utf8.decode(own);
        }
        const bytes = joined(Uint8Array, [held, own]);
        const end = completeLength(bytes);
        held = bytes.slice(end);
        return utf8.decode(bytes.subarray(0, end));
      };
      for (const id of prefixIds) push(id);
      return {
        push,
        flush() {
          const rest = utf8.decode(held);
          held = EMPTY;
          return rest;
        },
      };
    },
  };
}

function idError(id: number, vocabSize: number): TokenError {
  return new TokenError(
    "token-id-range",
    `decode: no token has id ${id}; legal ids are the integers in [0, ${vocabSize - 1}] that the vocabulary names`,
    { id, vocabSize },
  );
}

/** Reads bytes id by id, without the text's leading spaces; none of an id that has no token. */
function byteReader(tokens: TokenBytes, skipSpecialTokens: boolean): (id: number) => Uint8Array {
  let spaces = tokens.leadingSpaces;
  return (id) => {
    const bytes = tokens.bytes(id);
    if (bytes === undefined || (skipSpecialTokens && tokens.isSpecial(id))) return EMPTY;
    let start = 0;
    while (spaces > 0 && start < bytes.length) {
      if (bytes[start] === 0x20) {
        start++;
        spaces--;
      } else {
        spaces = 0;
      }
    }
    return bytes.subarray(start);
  };
}

/**
 * Without the unfinished code point at the end. A cut before a lead byte never changes what a UTF-8 decoder makes of
 * either side, even in invalid text, so the pieces decode to the same string as the whole.
 */
function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    const isContinuation = byte >= 0x80 && byte < 0xc0; // then the lead byte is further back
    if (!isContinuation) return codePointLength(byte) > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** 1 for a byte that begins none. */
function codePointLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}
