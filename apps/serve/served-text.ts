/** The stream of a served text: tokens as they come, then the summary. */
import { OptionError } from "early-exits";
import type { DecodingPromise } from "early-exits/exits";
import type { GeneratedToken, TextSummary } from "early-exits/model";
import { ServeError } from "./serve-error.js";
import type { TokenLogprobs } from "./logprobs.js";
import type { ServingMode } from "./ways.js";

export interface ServedToken extends GeneratedToken {
  /** Present if asked for. */
  readonly logprobs?: TokenLogprobs;
}

export interface ServedSummary extends TextSummary {
  readonly mode: ServingMode;
  readonly promise: DecodingPromise;
  /** Tokens of the prompt with keys and values from another text. */
  readonly reusedTokens: number;
  /** Milliseconds in the queue. */
  readonly queued: number;
}

/** Iterate it once. Leaving the loop early cancels the text. */
export interface ServedText extends AsyncIterable<ServedToken> {
  /** Throws an OptionError before the text has ended. */
  readonly summary: ServedSummary;
  /** Resolves at the end of the text: to its summary, or to undefined if given up. */
  readonly ended: Promise<ServedSummary | undefined>;
}

/** Writing end. At most `limit` tokens wait for the reader. */
export class TextStream implements ServedText {
  readonly #limit: number;
  readonly #waiting: ServedToken[] = [];
  #wake: (() => void) | undefined;
  #summary: ServedSummary | undefined;
  #error: { readonly reason: unknown } | undefined;
  #left = false;
  #settle!: (summary: ServedSummary | undefined) => void;
  readonly ended = new Promise<ServedSummary | undefined>((resolve) => {
    this.#settle = resolve;
  });

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True if nobody reads it any more. */
  get left(): boolean {
    return this.#left;
  }

  get summary(): ServedSummary {
    if (this.#summary !== undefined) return this.#summary;
    throw new OptionError(
      "summary-early",
      "serve: the summary is available after the last token; consume the tokens first",
    );
  }

  /** Throws a ServeError if too many tokens wait; a round's fit a reader who waits for them. */
  push(tokens: readonly ServedToken[]): void {
    if (this.#waiting.length > 0 && this.#waiting.length + tokens.length > this.#limit) {
      throw new ServeError(
        "reader-slow",
        `serve: more than ${this.#limit} tokens wait for the reader, who takes them too slowly; the text was given up`,
        { limit: this.#limit },
      );
    }
    this.#waiting.push(...tokens);
    this.#wake?.();
  }

  end(summary: ServedSummary): void {
    this.#summary = summary;
    this.#settle(summary);
    this.#wake?.();
  }

  fail(reason: unknown): void {
    this.#error ??= { reason };
    this.#settle(undefined);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ServedToken, void, undefined> {
    try {
      for (;;) {
        if (this.#error !== undefined) throw this.#error.reason;
        const token = this.#waiting.shift();
        if (token !== undefined) yield token;
        else if (this.#summary !== undefined) return;
        else await this.#change();
      }
    } finally {
      this.#left = true;
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
