/** Words and hashes of passages, by which copies of documents are found, and texts that taught heads. */
import type { Model } from "./model.js";

/**
 * Letters and digits of what tokens stand for, case and spacing ignored. Where they name no text, the tokens are the
 * words.
 */
export function wordsIn(model: Pick<Model, "tokenizer">, ids: readonly number[]): readonly string[] {
  try {
    const text = model.tokenizer.decode(ids).normalize("NFKC").toLowerCase();
    return text.match(/[\p{L}\p{N}]+/gu) ?? ids.map(String);
  } catch {
    return ids.map(String); // no tokenizer, or ids that it does not name
  }
}

/** Hashes of so many consecutive words. */
export function passagesOf(words: readonly string[], size: number): number[] {
  return words.slice(size - 1).map((_, begin) => hashOf(words.slice(begin, begin + size).join(" ")));
}

/** Two 32-bit multiplicative hashes, mixed into 53 bits. */
export function hashOf(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x85ebca6b) ^ (high >>> 15);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}
