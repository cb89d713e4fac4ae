/** Retries after network failures, with pauses of 0.5 s, 1 s, 2 s, …, or what the server's Retry-After demands. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CancelSignal } from "../../cancel-signal.js";
import { isRetriable } from "./hub-errors.js";

export interface RetryOptions {
  /** Failures in a row that are retried. */
  readonly retries: number;
  /** Milliseconds before the first retry; doubles with each. */
  readonly backoff: number;
  readonly signal: CancelSignal | undefined;
}

const LONGEST_PAUSE = 60_000;

/** Runs `attempt` until it succeeds. A call of `progressed` resets the count of failures. */
export async function withRetries<T>(
  { retries, backoff, signal }: RetryOptions,
  attempt: (progressed: () => void) => Promise<T>,
): Promise<T> {
  let failures = 0;
  const progressed = (): void => void (failures = 0);
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt(progressed);
    } catch (error) {
      failures++;
      if (!isRetriable(error) || failures > retries) throw error;
      const asked = 1000 * ((error.details["retryAfter"] as number | undefined) ?? 0);
      const pause = Math.min(Math.max(asked, backoff * 2 ** (failures - 1)), LONGEST_PAUSE);
      await sleep(pause, undefined, signal instanceof AbortSignal ? { signal } : {}).catch(() => undefined);
    }
  }
}
