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

export type TextStream = ReturnType<typeof createTextStream>;

/** Writing end. At most `limit` tokens wait for the reader. */
export function createTextStream(limit: number) {
  const waiting: ServedToken[] = [];
  let wake: (() => void) | undefined;
  let summary: ServedSummary | undefined;
  let failed: { readonly reason: unknown } | undefined;
  let left = false;
  let settle!: (summary: ServedSummary | undefined) => void;
  const ended = new Promise<ServedSummary | undefined>((resolve) => {
    settle = resolve;
  });
  return {
    ended,

    /** True if nobody reads it any more. */
    get left(): boolean {
      return left;
    },

    get summary(): ServedSummary {
      if (summary !== undefined) return summary;
      throw new OptionError(
        "summary-early",
        "serve: the summary is available after the last token; consume the tokens first",
      );
    },

    /** Throws a ServeError if too many tokens wait; a round's fit a reader who waits for them. */
    push(tokens: readonly ServedToken[]): void {
      if (waiting.length > 0 && waiting.length + tokens.length > limit) {
        throw new ServeError(
          "reader-slow",
          `serve: more than ${limit} tokens wait for the reader, who takes them too slowly; the text was given up`,
          { limit },
        );
      }
      waiting.push(...tokens);
      wake?.();
    },

    end(done: ServedSummary): void {
      summary = done;
      settle(done);
      wake?.();
    },

    fail(reason: unknown): void {
      failed ??= { reason };
      settle(undefined);
      wake?.();
    },

    async *[Symbol.asyncIterator](): AsyncGenerator<ServedToken, void, undefined> {
      try {
        for (;;) {
          if (failed !== undefined) throw failed.reason;
          const token = waiting.shift();
          if (token !== undefined) yield token;
          else if (summary !== undefined) return;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        left = true;
      }
    },
  };
}
