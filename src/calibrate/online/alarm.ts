/**
 * An alarm while a model is in use: a test martingale for the null hypothesis "the mean loss is at most α", as a pure
 * state machine on plain data that JSON can hold.
 *   wealth = Π_t (1 + ν (L_t - α)),  ν in (0, 1/α)     a bet that the mean loss exceeds α
 * While the conditional mean of the losses stays <= α, the wealth is a nonnegative supermartingale. By Ville's
 * inequality (1939) the probability that it ever exceeds 1/δ is at most δ, no matter how often one looks. Use documents
 * as units, not tokens.
 */
import { requireNumber } from "../../errors.js";

export interface AlarmState {
  readonly format: "early-exits/alarm";
  readonly version: 1;
  /** The claimed mean loss. */
  readonly target: number;
  readonly delta: number;
  /** ν: the wealth grows by the factor 1 + ν (loss - target). */
  readonly stake: number;
  readonly logWealth: number;
  readonly units: number;
  readonly lossSum: number;
  /** Whether the wealth has ever exceeded 1/δ; once raised, the alarm stays raised. */
  readonly raised: boolean;
}

export interface AlarmOptions {
  /** 1 - agreement, in (0, 1). */
  readonly target: number;
  /** The probability of ever raising a false alarm. @default 0.05 */
  readonly delta?: number;
  /** In (0, 1/target): larger stakes detect large losses sooner, small ones later. @default 1/(2 target), at most 4 */
  readonly stake?: number;
}

/** Returns the initial state. Throws an OptionError for an option outside its range. */
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

/** Returns the state after one unit with a loss in [0, 1], such as the share of a document's tokens that differ. */
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
