/**
 * What decoding tells an observer, and what an observer may tell decoding: the thresholds to use from now on. Online
 * recalibration and alarms (calibrate/online.ts) are observers; so is anything that counts or draws. Events come while
 * a token is being chosen, in order.
 *   exit       a head was evaluated, and its token was taken (`left`) or not
 *   verified   the full model's word on a token that an exit had drafted (lossless decoding): agreement observed, free of charge
 *   round      a round of lossless decoding ended: how many tokens the exits drafted, how many of them the full model accepted
 */
import { PolicyError } from "../../errors.js";
import type { Policy } from "../plan/index.js";
import type { Threshold } from "../heads/index.js";

/** A head evaluated at a position. */
export interface AtExit {
  /** The position whose next token is being chosen. */
  readonly position: number;
  /** Index of the exit, shallow to deep. */
  readonly exit: number;
  /** Blocks run before it. */
  readonly depth: number;
  /** The raw score, as the policy's score defines it. */
  readonly score: number;
}

/** What happens while a token is chosen. */
export type DecodeEvent =
  | ({ readonly type: "exit"; readonly left: boolean } & AtExit)
  | ({ readonly type: "verified"; readonly agrees: boolean } & AtExit)
  | { readonly type: "round"; readonly drafted: number; readonly accepted: number };

/** Listens to decoding, and may set the thresholds. */
export interface DecodeObserver {
  observe(event: DecodeEvent): void;
  /** Thresholds to use from now on, one per exit; the policy's own where absent. Asked for once per token. */
  thresholds?(): readonly Threshold[] | undefined;
}

/**
 * The thresholds for the next token. Throws a PolicyError where an observer gives another number of them than the
 * policy has exits.
 */
export function thresholdsNow({ exits }: Policy, observer: DecodeObserver | undefined): readonly Threshold[] {
  const given = observer?.thresholds?.();
  if (given === undefined) return exits.map(({ threshold }) => threshold);
  if (given.length !== exits.length) {
    throw new PolicyError(
      "policy-exits",
      `observer: it gave ${given.length} thresholds for ${exits.length} exits; give one for each`,
      { thresholds: given.length, exits: exits.length },
    );
  }
  return given;
}
