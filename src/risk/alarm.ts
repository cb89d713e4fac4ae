/**
 * The alarm of an audit: a test of the null hypothesis "the mean loss of a unit, given all before, is at most ε", as a
 * state machine on plain JSON data. Bets against the null multiply a wealth that starts at 1:
 *   M_n = Σ_s π_s Σ_j (1/J) Π_{i=s..n} (1 + ν_j (L_i - ε)) + 1/2n      ν_j = 2^-j / ε, j = 0..J-1
 * a mixture over stakes up to 1/ε (small ones suit rare losses far above ε, large ones steady losses) and over the unit
 * s with which the change begins (π_1 = 1/2, π_s = 1/2s(s-1); the rest, 1/2n, is not staked yet), so a long quiet time
 * does not use up the wealth. Under the null, M is a nonnegative supermartingale, so P(M ever reaches 1/δ) <= δ (Ville
 * 1939).
 */
import { requireInside, requireLosses } from "./check.js";

/** J: with stakes of 1/128 of the largest, all that pays is covered. */
export const STAKES = 8;

export interface AlarmState {
  readonly format: "early-exits/alarm";
  readonly version: 2;
  /** ε: the claimed mean loss. */
  readonly target: number;
  readonly delta: number;
  /** [J] the wealth of each stake, summed over the units where a change may have begun. */
  readonly wealth: readonly number[];
  readonly units: number;
  /** True once M has reached 1/δ: the alarm stays raised and the wealth stands still. */
  readonly raised: boolean;
}

/**
 * Reads the losses of units in the order in which they come, and returns the state after the last, which says whether
 * the alarm was raised. While the mean loss of a unit, given all before, is at most `level`, it is ever raised with
 * probability `delta` at most, however often one looks. `alarm([], level, delta)` begins an audit, and `stepAlarm` goes
 * on. Throws an OptionError for losses outside [0, 1], and for a level or delta outside (0, 1).
 */
export function alarm(losses: ArrayLike<number>, level: number, delta: number): AlarmState {
  requireInside("alarm: level", level);
  requireInside("alarm: delta", delta);
  let state: AlarmState = {
    format: "early-exits/alarm",
    version: 2,
    target: level,
    delta,
    wealth: new Array<number>(STAKES).fill(0),
    units: 0,
    raised: false,
  };
  requireLosses("alarm", losses, 0);
  for (let unit = 0; unit < losses.length; unit++) state = stepAlarm(state, losses[unit]!);
  return state;
}

/** Returns the state after one unit more with a loss in [0, 1]: a text, or the mean of one user's texts. */
export function stepAlarm(state: AlarmState, loss: number): AlarmState {
  requireLosses("stepAlarm", [loss]);
  const units = state.units + 1;
  if (state.raised) return { ...state, units };
  const entering = (units === 1 ? 1 / 2 : 1 / (2 * units * (units - 1))) / STAKES;
  const wealth: number[] = [];
  let stake = 1 / state.target;
  for (const before of state.wealth) {
    // Without losses the largest stake is lost entirely; rounding must not take it below 0.
    wealth.push((before + entering) * Math.max(0, 1 + stake * (loss - state.target)));
    stake /= 2;
  }
  const after = { ...state, units, wealth };
  return { ...after, raised: alarmWealth(after) >= 1 / state.delta };
}

/** M: how strongly the units speak against the claim. 1 before the first; the alarm is raised at 1/δ. */
export function alarmWealth({ wealth, units }: AlarmState): number {
  return wealth.reduce((sum, one) => sum + one, units === 0 ? 1 : 1 / (2 * units));
}
