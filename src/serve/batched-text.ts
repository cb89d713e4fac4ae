/** A text on its way through the batcher: it waits in the queue, runs, and ends. */
import type { ActiveText } from "../model/decode/writing-loop.js";
import type { PlannedText } from "../model/decode/text.js";
import type { Sequence } from "../model/index.js";
import type { TextRequest } from "./batcher-options.js";
import type { WatchedSampler } from "./logprobs.js";
import type { TextStream } from "./served-text.js";
import type { ServingMode } from "./ways.js";

/** A text in the queue. */
export interface Queued extends PlannedText {
  readonly mode: ServingMode;
  readonly request: TextRequest;
  readonly stream: TextStream;
  readonly watched: WatchedSampler | undefined;
  /** Bytes of KV cache that it may come to need. */
  readonly bytes: number;
  /** When it came, in milliseconds. */
  readonly came: number;
}

/** A text that has a sequence. */
export interface Running extends Queued, ActiveText {
  readonly entered: number;
  readonly reusedTokens: number;
}

/** A text that has been written. */
export type Ended = Omit<Running, "sequence" | "decoder">;

/** What a prompt can take over from other texts. */
export interface Shared {
  /** A sequence that begins like the prompt. */
  readonly from: Sequence | undefined;
  /** Tokens that can be copied from it. */
  readonly length: number;
  /** Tokens that can be copied once the prompts that are running have run. */
  readonly later: number;
}
