/**
 * What a runtime must do to be measured: take token ids, keep its KV cache, and return the next token or all logits.
 * Everything built on this interface (agreement, timing, report) is the same for every peer, ours included. Also the
 * jobs of the processes.
 */
import type { Protocol } from "./shape.js";

/** One loaded model with one text in its cache. */
export interface PeerSession {
  /** What really runs, for the report. */
  readonly info: string;
  /** Forgets the text. */
  reset(): Promise<void>;
  /** Appends ids and resolves to the most likely next token. */
  advance(ids: readonly number[]): Promise<number>;
  /** The same, but resolves to the logits [V] after the last id. */
  logits(ids: readonly number[]): Promise<Float32Array>;
  close(): Promise<void>;
}

export const peerNames = ["ours", "onnxruntime-node", "onnxruntime-web", "node-llama-cpp", "torch"] as const;
export type PeerName = (typeof peerNames)[number];

/** A way of running a peer. */
export interface Configuration {
  readonly peer: PeerName | "reference";
  /** Weight type or graph, as the peer's file describes. */
  readonly variant: string;
  readonly threads: number;
}

/** What one process does: write logits to `output` (rows [V], float32), or time decoding, or time training steps. */
export interface Job extends Configuration {
  readonly kind: "logits" | "decode" | "train";
  /** The work folder: config.json, model.safetensors, head.safetensors, *.onnx, *.gguf. */
  readonly folder: string;
  /** The device behind "ours". */
  readonly device: string;
  readonly output: string;
  readonly protocol: Protocol;
}

/** Milliseconds of every timed pass or step, in order; losses of all training steps. */
export interface Measured {
  readonly status: "measured";
  readonly info: string;
  readonly prefill?: readonly number[];
  readonly decode?: readonly number[];
  readonly step?: readonly number[];
  readonly losses?: readonly number[];
}

/** `absent`: not installed, or not for this machine; `failed`: it broke. */
export interface Missing {
  readonly status: "absent" | "failed";
  readonly reason: string;
}

export type Outcome = Measured | Missing;

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
