/** What a request to a batcher says, and the limits within which it is served. */
import type { CancelSignal } from "../cancel-signal.js";
import { requireInteger } from "../errors.js";
import type { SamplingOptions } from "../model/decode/sampling.js";
import type { ServedWays, ServingMode } from "./ways.js";

export interface BatcherOptions extends ServedWays {
  /** Texts that are written together, at most. @default 8; 1 on a device whose results depend on the batch */
  readonly parallel?: number;
  /** Texts that wait, at most; more are refused. @default 64 */
  readonly queueLimit?: number;
  /** Prompt positions that run between two tokens of other texts. @default 16 */
  readonly prefillRows?: number;
  /** Bytes of all KV caches together, those of ended texts included. @default 2^30 */
  readonly cacheBytes?: number;
  /** Bytes of one text's KV cache. @default cacheBytes */
  readonly textBytes?: number;
  /** Bytes kept for later prompts that begin like an ended text; 0 keeps none. @default half of cacheBytes */
  readonly prefixBytes?: number;
  /** Tokens that wait for a slow reader, at most; then the text is given up. @default 4096 */
  readonly unreadTokens?: number;
  /**
   * Uses a certified policy with sampling settings that its certificate is not for, or one for which nothing could be
   * certified. @default false
   */
  readonly allowUncertified?: boolean;
  /** The clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

export const batcherDefaults = {
  parallel: 8,
  queueLimit: 64,
  prefillRows: 16,
  cacheBytes: 2 ** 30,
  unreadTokens: 4096,
} as const satisfies BatcherOptions;

/** Options with what is not given filled in. */
export type BatcherLimits = Required<Omit<BatcherOptions, keyof ServedWays | "allowUncertified">>;

/** Fills in and checks the limits. Throws an OptionError that names the option. */
export function limitsOf(options: BatcherOptions, batchIndependent: boolean): BatcherLimits {
  const {
    parallel = batcherDefaults.parallel,
    queueLimit = batcherDefaults.queueLimit,
    prefillRows = batcherDefaults.prefillRows,
    cacheBytes = batcherDefaults.cacheBytes,
    textBytes = cacheBytes,
    prefixBytes = Math.floor(cacheBytes / 2),
    unreadTokens = batcherDefaults.unreadTokens,
    now = () => performance.now(),
  } = options;
  requireInteger("serve: parallel", parallel, 1);
  requireInteger("serve: queueLimit", queueLimit, 0);
  requireInteger("serve: prefillRows", prefillRows, 1);
  requireInteger("serve: cacheBytes", cacheBytes, 1);
  requireInteger("serve: textBytes", textBytes, 1, cacheBytes);
  requireInteger("serve: prefixBytes", prefixBytes, 0, cacheBytes);
  requireInteger("serve: unreadTokens", unreadTokens, 1);
  const limits = { queueLimit, prefillRows, cacheBytes, textBytes, unreadTokens, now };
  // Where rows computed together have other bits than one by one, a text is alone, and runs as `generate` runs it.
  return batchIndependent
    ? { ...limits, parallel, prefixBytes }
    : { ...limits, parallel: 1, prefixBytes: 0, prefillRows: Number.MAX_SAFE_INTEGER };
}

/** What one text is asked for. The tokens are those of `generate` with the same options. */
export interface TextRequest extends SamplingOptions {
  /** @default "plain" */
  readonly mode?: ServingMode;
  /** @default 128; fewer if the context has less room */
  readonly maxNewTokens?: number;
  /** @default 0 */
  readonly seed?: number;
  readonly stop?: string | readonly string[];
  /** @default true */
  readonly stopAtEndOfText?: boolean;
  /** Gives every token its log-probability, and those of so many most likely tokens. Not in lossless text. */
  readonly logprobs?: number;
  /** Ends the work and frees the memory; the stream throws the signal's reason. */
  readonly signal?: CancelSignal;
}

/** What a batcher is doing. */
export interface BatcherState {
  /** Texts whose prompt runs, or that are being written. */
  readonly running: number;
  readonly queued: number;
  /** Bytes of all KV caches. */
  readonly cacheBytes: number;
  /** Bytes of those that are kept for later prompts. */
  readonly prefixBytes: number;
}
