/**
 * Recalibration while text is generated: an observer (exits/decode) that moves a policy's thresholds by adaptive
 * conformal inference (aci.ts).
 *   level α  ->  one rung of a ladder of thresholds per exit, from "never" at α <= 0 to the laxest at α >= 1
 * Lossless decoding verifies every draft anyway, so the outcomes cost nothing: a rejected draft is an error, every
 * other token is none.
 */
import { OptionError } from "../../errors.js";
import type { DecodeObserver } from "../../exits/decode/index.js";
import { orientScore, type Threshold } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { type AciOptions, type AciState, createAci, stepAci } from "./aci.js";

/** The state of an online recalibration: a level, and for every exit the thresholds to choose from. Plain data. */
export interface OnlineState {
  readonly format: "early-exits/online";
  readonly version: 1;
  readonly aci: AciState;
  /** Per exit, from strict to lax: the raw thresholds that evenly spaced levels between 0 and 1 select. */
  readonly ladder: readonly (readonly Threshold[])[];
}

export interface OnlineOptions extends AciOptions {
  /** Number of thresholds in each ladder, "never" included. @default 100 */
  readonly rungs?: number;
}

/**
 * Returns a state for a policy. Each exit gets a ladder of thresholds: "never", then quantiles of its recorded scores
 * from strict to lax. The level α selects the rung: α <= 0 is "never" at every exit, α >= 1 is the laxest threshold.
 */
export function createOnline(
  { score, exits }: Pick<Policy, "score" | "exits">,
  scores: readonly ArrayLike<number>[],
  options: OnlineOptions,
): OnlineState {
  const { rungs = 100 } = options;
  if (scores.length !== exits.length) {
    throw new OptionError(
      "lengths-differ",
      `createOnline: scores of ${scores.length} exits for a policy with ${exits.length}; give the scores of every exit`,
      { scores: scores.length, exits: exits.length },
    );
  }
  const ladder = scores.map((column): Threshold[] => {
    const oriented = Float64Array.from(column, (value) => orientScore(value, score));
    const falling = oriented.sort().reverse();
    if (falling.length === 0) return ["never"];
    const quantile = (share: number): number =>
      orientScore(falling[Math.min(falling.length - 1, Math.floor(share * falling.length))]!, score);
    return ["never", ...Array.from({ length: rungs - 1 }, (_, i) => quantile((i + 1) / rungs))];
  });
  return { format: "early-exits/online", version: 1, aci: createAci(options), ladder };
}

/** Returns the thresholds that a state's level selects. */
export function thresholdsOf({ aci, ladder }: OnlineState): Threshold[] {
  return ladder.map((rungs) => {
    if (aci.alpha <= 0) return "never";
    return rungs[Math.min(rungs.length - 1, Math.floor(aci.alpha * rungs.length))]!;
  });
}

export interface OnlineRecalibration extends DecodeObserver {
  /** The current state; store it to resume from it later. */
  readonly state: OnlineState;
}

/** Returns an observer that recalibrates during lossless decoding: one ACI step per token, drafted or not. */
export function onlineRecalibration(from: OnlineState): OnlineRecalibration {
  let state = from;
  return {
    get state() {
      return state;
    },
    observe(event) {
      if (event.type === "verified") {
        state = { ...state, aci: stepAci(state.aci, !event.agrees) };
      } else if (event.type === "round") {
        // A round ends with a token of the full model. Without this step a level <= 0, at which nothing is drafted,
        // would never rise again.
        state = { ...state, aci: stepAci(state.aci, 0) };
      }
    },
    thresholds: () => thresholdsOf(state),
  };
}
