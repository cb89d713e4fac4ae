/** A text on its way through the batcher: queued, running, ended. */
import type { ActiveText, PlannedText, Sequence } from "early-exits/model";
import type { TextRequest } from "./batcher-options.js";
import type { WatchedSampler } from "./logprobs.js";
import type { TextStream } from "./served-text.js";
import type { ServingMode } from "./ways.js";

export interface Queued extends PlannedText {
  readonly mode: ServingMode;
  readonly request: TextRequest;
  readonly stream: TextStream;
  readonly watched: WatchedSampler | undefined;
  /** Bytes of KV cache at most. */
  readonly bytes: number;
  /** Arrival in milliseconds. */
  readonly came: number;
}

export interface Running extends Queued, ActiveText {
  readonly entered: number;
  readonly reusedTokens: number;
}

export type Ended = Omit<Running, "sequence" | "decoder">;

/** Positions that a prompt can take over from other texts. */
export interface Shared {
  /** Sequence that begins like the prompt. */
  readonly from: Sequence | undefined;
  /** Tokens to copy from it. */
  readonly length: number;
  /** Tokens to copy once the running prompts have run. */
  readonly later: number;
}
