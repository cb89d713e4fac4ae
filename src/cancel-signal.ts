/**
 * Part of an AbortSignal that long calls need. The interface is structural, so that the public types need neither
 * the DOM's declarations nor Node's; the platform's `AbortSignal` satisfies it.
 */
export interface CancelSignal {
  readonly aborted: boolean;
  /** Why it was aborted. */
  readonly reason?: unknown;
  /** Throws the reason if the signal is aborted. */
  throwIfAborted(): void;
}
