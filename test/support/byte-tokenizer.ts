/** The smallest tokenizer: bytes as tokens. */
import { decoding } from "../../src/model/tokenizer/decoding.js";
import type { Tokenizer } from "../../src/model/tokenizer/tokenizer.js";

const END_OF_TEXT = 256;
const VOCAB_SIZE = 257;

/**
 * Ids 0..255 are bytes of UTF-8; 256 is <|endoftext|>, around a text. `encode` never adds it, nor finds it in a text.
 */
export function byteTokenizer(): Tokenizer {
  const utf8 = new TextEncoder();
  const endOfText = utf8.encode("<|endoftext|>");
  const bytes = (id: number) => {
    if (!Number.isInteger(id) || id < 0 || id >= VOCAB_SIZE) return undefined;
    return id === END_OF_TEXT ? endOfText : Uint8Array.of(id);
  };
  return {
    vocabSize: VOCAB_SIZE,
    bosTokenId: END_OF_TEXT,
    eosTokenId: END_OF_TEXT,
    specialTokens: new Map([["<|endoftext|>", END_OF_TEXT]]),
    encode: (text) => Array.from(utf8.encode(text)),
    encodeParts: (parts) =>
      Promise.resolve(parts.flatMap((part) => (typeof part === "number" ? [part] : Array.from(utf8.encode(part))))),
    ...decoding({ size: VOCAB_SIZE, bytes, isSpecial: (id) => id === END_OF_TEXT, leadingSpaces: 0 }),
  };
}

/** Tokens of the 256 bytes in sentencepiece vocabularies: <0x00> to <0xFF>. */
export const byteTokens = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);
