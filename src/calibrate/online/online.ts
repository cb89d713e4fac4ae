/**
 * Calibration that goes on while a model is in use. Two pure state machines, plain data that JSON can hold: the same
 * events give the same states.
 *   ACI (Gibbs and Candès 2021)  α_{t+1} = α_t + γ(target - err_t): a level that falls after errors and rises without. For ANY sequence,
 *       mean err <= target + (max(α₁, 1-α₁) + γ) / (Tγ), provided that a level <= 0 allows no error: then α stays above -γ.
 *       The upper side is the promise. α is kept <= 1, which costs it nothing: beyond, errors would only be saved up.
 *   Ville alarm (1939)  wealth Π (1 + ν (L_t - α)), ν in [0, 1/α]: a bet that the mean loss exceeds α. While the conditional mean of the
 *       losses stays <= α, wealth ever exceeds 1/δ with probability <= δ, whenever one looks. Feed it documents, not tokens.
 * `onlineRecalibration` is the observer (exits/observe.ts) that moves a policy's thresholds by ACI. In lossless
 * decoding the verification tells whether each draft agreed, so it costs nothing: an error is a refused draft, and
 * every other token counts as none.
 */
import { OptionError, requireNumber } from "../../errors.js";
import type { DecodeObserver } from "../../exits/decode/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { orientScore, type Threshold } from "../../exits/heads/index.js";

export interface AciState {
  readonly format: "early-exits/aci";
  readonly version: 1;
  /** The share of errors to stay below. */
  readonly target: number;
  /** Step size. */
  readonly gamma: number;
  /** The level in force, in [-γ, 1]. */
  readonly alpha: number;
  /** The level it began with. */
  readonly first: number;
  readonly steps: number;
  readonly errors: number;
}

export interface AciOptions {
  /** 1 - agreement, in (0, 1). */
  readonly target: number;
  /** @default 0.02 */
  readonly gamma?: number;
  /** The level to begin with, in [0, 1]. @default target */
  readonly alpha?: number;
}

export function createAci({ target, gamma = 0.02, alpha = target }: AciOptions): AciState {
  requireNumber("createAci: target", target, 0, 1, { open: true });
  requireNumber("createAci: gamma", gamma, Number.MIN_VALUE, 1);
  requireNumber("createAci: alpha", alpha, 0, 1);
  return { format: "early-exits/aci", version: 1, target, gamma, alpha, first: alpha, steps: 0, errors: 0 };
}

/** One outcome: an error (1, true) or none, or anything between. */
export function stepAci(state: AciState, error: number | boolean): AciState {
  const err = requireNumber("stepAci: error", Number(error), 0, 1);
  return {
    ...state,
    alpha: Math.min(1, state.alpha + state.gamma * (state.target - err)),
    steps: state.steps + 1,
    errors: state.errors + err,
  };
}

/**
 * The mean error that the steps so far cannot have exceeded, if no error was possible at levels <= 0; 1 before the
 * first step.
 */
export function aciBound({ target, gamma, first, steps }: AciState): number {
  return steps === 0 ? 1 : Math.min(1, target + (Math.max(first, 1 - first) + gamma) / (steps * gamma));
}

export interface AlarmState {
  readonly format: "early-exits/alarm";
  readonly version: 1;
  /** The mean loss that is claimed. */
  readonly target: number;
  readonly delta: number;
  /** ν: what share of the wealth is staked, as a multiple of the loss above target. */
  readonly stake: number;
  readonly logWealth: number;
  readonly units: number;
  readonly lossSum: number;
  /** Raised once wealth exceeded 1/δ; it stays raised. */
  readonly raised: boolean;
}

export interface AlarmOptions {
  /** 1 - agreement, in (0, 1). */
  readonly target: number;
  /** Chance of a false alarm, ever. @default 0.05 */
  readonly delta?: number;
  /** In (0, 1/target): larger is quicker for large losses, slower for small ones. @default 1/(2 target), at most 4 */
  readonly stake?: number;
}

export function createAlarm({ target, delta = 0.05, stake = Math.min(4, 0.5 / target) }: AlarmOptions): AlarmState {
  requireNumber("createAlarm: target", target, 0, 1, { open: true });
  requireNumber("createAlarm: delta", delta, 0, 1, { open: true });
  requireNumber("createAlarm: stake", stake, 0, 1 / target, { open: true });
  return {
    format: "early-exits/alarm",
    version: 1,
    target,
    delta,
    stake,
    logWealth: 0,
    units: 0,
    lossSum: 0,
    raised: false,
  };
}

/** One unit's loss in [0, 1]: the share of a document's tokens that differ, say. */
export function stepAlarm(state: AlarmState, loss: number): AlarmState {
  requireNumber("stepAlarm: loss", loss, 0, 1);
  const logWealth = state.logWealth + Math.log1p(state.stake * (loss - state.target));
  return {
    ...state,
    logWealth,
    units: state.units + 1,
    lossSum: state.lossSum + loss,
    raised: state.raised || logWealth > -Math.log(state.delta),
  };
}

/** What an online recalibration remembers: a level, and for every exit the thresholds that it may choose among. */
export interface OnlineState {
  readonly format: "early-exits/online";
  readonly version: 1;
  readonly aci: AciState;
  /** Per exit, strictest first: the raw thresholds that levels between 0 and 1 stand for, evenly. */
  readonly ladder: readonly (readonly Threshold[])[];
}

/**
 * A state for a policy: per exit a ladder of thresholds, from "never" over the scores given (a recording's, strictest
 * wins ties) to "always". The level α picks the rung: α <= 0 is "never" at every exit, α >= 1 the laxest.
 */
export function createOnline(
  { score, exits }: Pick<Policy, "score" | "exits">,
  scores: readonly ArrayLike<number>[],
  options: AciOptions & { readonly rungs?: number },
): OnlineState {
  const { rungs = 100 } = options;
  if (scores.length !== exits.length) {
    throw new OptionError(
      "lengths-differ",
      `createOnline: scores of ${scores.length} exits for a policy with ${exits.length}; give those of every exit`,
      { scores: scores.length, exits: exits.length },
    );
  }
  const ladder = scores.map((column) => {
    const sorted = Float64Array.from(column, (value) => orientScore(value, score))
      .sort()
      .reverse();
    const at = (share: number): number =>
      orientScore(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!, score);
    return sorted.length === 0
      ? (["never"] as Threshold[])
      : (["never", ...Array.from({ length: rungs - 1 }, (_, i) => at((i + 1) / rungs))] as Threshold[]);
  });
  return { format: "early-exits/online", version: 1, aci: createAci(options), ladder };
}

/** The thresholds in force at a state's level. */
export function thresholdsOf({ aci, ladder }: OnlineState): Threshold[] {
  return ladder.map((rungs) =>
    aci.alpha <= 0 ? "never" : rungs[Math.min(rungs.length - 1, Math.floor(aci.alpha * rungs.length))]!,
  );
}

export interface OnlineRecalibration extends DecodeObserver {
  /** As it is now; store it, and begin there again. */
  readonly state: OnlineState;
}

/**
 * An observer that recalibrates while lossless decoding verifies: one ACI step for every token, be it a draft or the
 * full model's own.
 */
export function onlineRecalibration(from: OnlineState): OnlineRecalibration {
  let state = from;
  return {
    get state() {
      return state;
    },
    observe(event) {
      if (event.type === "verified") state = { ...state, aci: stepAci(state.aci, !event.agrees) };
      // A round ends with a token of the full model. Without these steps a level of 0, where nothing is drafted, would
      // last forever.
      else if (event.type === "round") state = { ...state, aci: stepAci(state.aci, 0) };
    },
    thresholds: () => thresholdsOf(state),
  };
}
