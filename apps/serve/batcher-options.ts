/** Requests to a batcher, and its limits. */
import { type CancelSignal, requireInteger } from "early-exits";
import type { SamplingOptions } from "early-exits/model";
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
  /** Uses a policy outside its certificate's sampling settings, or without a certificate. @default false */
  readonly allowUncertified?: boolean;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

export const batcherDefaults = {
  parallel: 8,
  queueLimit: 64,
  prefillRows: 16,
  cacheBytes: 2 ** 30,
  unreadTokens: 4096,
} as const satisfies BatcherOptions;

export type BatcherLimits = Required<Omit<BatcherOptions, keyof ServedWays | "allowUncertified">>;

/** Throws an OptionError that names the option. */
export function limitsOf(options: BatcherOptions, batchIndependent: boolean): BatcherLimits {
  const {
    parallel,
    queueLimit,
    prefillRows,
    cacheBytes,
    textBytes = cacheBytes,
    prefixBytes = Math.floor(cacheBytes / 2),
    unreadTokens,
    now = () => performance.now(),
  } = { ...batcherDefaults, ...options };
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

/** Request for one text. The tokens are those of `generate` with the same options. */
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
  /** Log-probabilities of every token and of so many most likely ones. Not in lossless text. */
  readonly logprobs?: number;
  /** Ends the work and frees the memory by throwing the signal's reason. */
  readonly signal?: CancelSignal;
}

export interface BatcherState {
  /** Texts with a running prompt, or being written. */
  readonly running: number;
  readonly queued: number;
  readonly cacheBytes: number;
  /** Bytes of those that are kept for later prompts. */
  readonly prefixBytes: number;
}
