/** Measurements of servers, and the messages between the run and its processes. */
import type { ClientRates } from "../../../lab/read-together.js";
import type { Way } from "../llm/protocol.js";

/** Clients who ask at the same time. */
export const CLIENTS = [1, 8] as const;
/** Tokens of a client's prompt, and of its greedy answer. */
export const PROMPT = 64;
export const ANSWER = 64;
/** Positions of one text, at most. */
export const CONTEXT = 256;

/** Work of one process: every number of clients, one after another. */
export interface ServedJob extends Way {
  readonly path: string;
  readonly vocabSize: number;
  /** Timed passes after one that is not. */
  readonly passes: number;
}

/** The median pass, by CLIENTS; or why there is none. */
export type ServedAnswer =
  | { readonly kind: "rates"; readonly info: string; readonly rates: readonly ClientRates[] }
  | { readonly kind: "failed"; readonly reason: string };
