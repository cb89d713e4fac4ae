import { EarlyExitError } from "early-exits";

/** A request that a server cannot take: its queue is full, it is closing, or the request exceeds its limits. */
export class ServeError extends EarlyExitError {
  override readonly name = "ServeError";
}
