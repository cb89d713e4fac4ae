/**
 * Keys and values of ended texts, for prompts that begin like them. Only positions that ran all blocks are kept, since
 * theirs are those of a fresh pass, bit for bit. The least recently used text goes first.
 */
import { commonLength } from "early-exits/exits";
import type { Sequence } from "early-exits/model";

/** Each is compared with every prompt. */
const MOST_TEXTS = 256;

export class PrefixCache {
  readonly limit: number;
  /** The least recently used first. */
  #kept: Sequence[] = [];

  /** `limit` is in bytes. */
  constructor(limit: number) {
    this.limit = limit;
  }

  get bytes(): number {
    return this.#kept.reduce((sum, { cacheBytes }) => sum + cacheBytes, 0);
  }

  /** Kept text with the longest common beginning, and its length in tokens; undefined if none has any. */
  find(ids: readonly number[]): { readonly sequence: Sequence; readonly length: number } | undefined {
    let best: { sequence: Sequence; length: number } | undefined;
    for (const sequence of this.#kept) {
      const length = commonLength(sequence.ids, ids);
      if (length > (best?.length ?? 0)) best = { sequence, length };
    }
    return best;
  }

  touch(sequence: Sequence): void {
    if (!this.#kept.includes(sequence)) return;
    this.#kept = [...this.#kept.filter((kept) => kept !== sequence), sequence];
  }

  /** Copies the first `length` positions, which have run all blocks, if they fit. */
  keep(sequence: Sequence, length: number, bytes: number): void {
    const ids = sequence.ids.slice(0, length);
    const known = this.find(ids);
    if (length === 0 || bytes > this.limit || known?.length === length) return;
    for (const kept of [...this.#kept]) {
      if (commonLength(kept.ids, ids) === kept.length) this.#drop(kept); // the new text contains it
    }
    this.shrink(this.limit - bytes, MOST_TEXTS - 1);
    this.#kept.push(sequence.clone({ length, capacity: length }));
  }

  /** Frees texts until they are at most so many, and take at most so many bytes. */
  shrink(bytes: number, texts = MOST_TEXTS): void {
    while (this.#kept.length > texts || this.bytes > bytes) this.#drop(this.#kept[0]!);
  }

  #drop(sequence: Sequence): void {
    this.#kept = this.#kept.filter((kept) => kept !== sequence);
    sequence.dispose();
  }
}
