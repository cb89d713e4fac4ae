/**
 * The interface of a measured runtime: it takes token ids, keeps its KV cache, and returns the next token. Timing and
 * report are the same for every peer, ours included.
 */

/** One loaded model with one text in its cache. */
export interface PeerSession {
  /** Name of what really runs, for the report. */
  readonly info: string;
  /** Forgets the text. */
  reset(): Promise<void>;
  /** Appends ids and resolves to the most likely next token. */
  advance(ids: readonly number[]): Promise<number>;
  close(): Promise<void>;
}

/** Why a peer takes no part. The report lists it with this reason. */
export class PeerAbsentError extends Error {
  override readonly name = "PeerAbsentError";
  readonly code = "peer-absent";
  constructor(
    readonly peer: string,
    reason: string,
    remedy: string,
    options?: ErrorOptions,
  ) {
    super(`${peer}: ${reason}; ${remedy}`, options);
  }
}

/** Imports a package of bench/peers/package.json; throws a PeerAbsentError if it cannot be loaded. */
export async function importPeer<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (error) {
    throw new PeerAbsentError(
      name,
      `it cannot be loaded (${(error as Error).message.split("\n")[0]!})`,
      "run npm ci in bench/peers",
      { cause: error },
    );
  }
}
