/**
 * Observers of decoding receive events, and may set the thresholds (examples/learn/7-online-thresholds.mjs). Events
 * arrive in order while a token is chosen:
 *   exit       an exit was tried (its head was evaluated), and its token was taken (`left`) or not
 *   verified   the full model accepted or rejected a token that an exit had drafted (lossless decoding): agreement,
 *              observed at no extra cost; nothing of repetitions and of a look-ahead head, which are no exits
 *   round      a round of lossless decoding ended: how many tokens were drafted, and how many were accepted
 */
import { PolicyError } from "../../errors.js";
import type { Sequence } from "../../model/index.js";
import type { OnLogits } from "../../model/decode/final-logits.js";
import type { Tensor } from "../../tensor/index.js";
import type { Ledger } from "../cost/ledger.js";
import type { Threshold } from "../heads/score.js";
import type { Policy, PolicyExit } from "../plan/policy.js";

interface AtExit {
  /** The position whose next token is being chosen. */
  readonly position: number;
  /** Index of the exit, shallow to deep. */
  readonly exit: number;
  /** Blocks run. */
  readonly depth: number;
  /** The raw score, as the policy's score defines it. */
  readonly score: number;
}

export type DecodeEvent =
  | ({ readonly type: "exit"; readonly left: boolean } & AtExit)
  | ({ readonly type: "verified"; readonly agrees: boolean } & AtExit)
  | { readonly type: "round"; readonly drafted: number; readonly accepted: number };

export interface DecodeObserver {
  observe(event: DecodeEvent): void;
  /** Thresholds from now on, one per exit; undefined for the policy's own. Called before exits are asked. */
  thresholds?(): readonly Threshold[] | undefined;
}

export interface DecodeListeners {
  /** Receives an event for every exit tried; may set the thresholds. */
  readonly observer?: DecodeObserver | undefined;
  readonly ledger?: Ledger | undefined;
  /** Receives the full model's logits before they are freed. */
  readonly onLogits?: OnLogits | undefined;
  /** Receives a head's logits [R, V] before they are freed; `left[r]` says whether sequence r leaves there. */
  readonly onExitLogits?:
    ((exit: number, logits: Tensor, sequences: readonly Sequence[], left: readonly boolean[]) => void) | undefined;
}

/**
 * The exits of the next token, up to depth `deepest`, with the thresholds in force. Throws a PolicyError if the
 * observer returns another number of thresholds than there are exits.
 */
export function exitsNow(
  { exits }: Policy,
  observer: DecodeObserver | undefined,
  deepest = Infinity,
): readonly PolicyExit[] {
  const given = observer?.thresholds?.();
  if (given !== undefined && given.length !== exits.length) {
    throw new PolicyError(
      "policy-exits",
      `observer: it gave ${given.length} thresholds for ${exits.length} exits; give one for each`,
      { thresholds: given.length, exits: exits.length },
    );
  }
  if (given === undefined && exits.at(-1)!.depth <= deepest) return exits;
  return exits.map(({ depth, threshold }, exit) => ({
    depth,
    threshold: depth > deepest ? "never" : (given?.[exit] ?? threshold),
  }));
}
