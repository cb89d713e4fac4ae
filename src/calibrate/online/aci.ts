/**
 * Adaptive conformal inference (Gibbs and Candès, 2021) as a pure state machine on plain data that JSON can hold: the
 * same outcomes give the same states.
 *   α_{t+1} = min(1, α_t + γ (target - err_t))     a level that falls after errors and rises without
 *   mean err <= target + (max(α_1, 1 - α_1) + γ) / (T γ)
 * The bound holds for ANY sequence of T outcomes, provided that a level <= 0 permits no error; then α stays above -γ.
 * Only the upper side is guaranteed. Capping α at 1 does not weaken it: a level above 1 would only save up errors.
 */
import { requireNumber } from "../../errors.js";

export interface AciState {
  readonly format: "early-exits/aci";
  readonly version: 1;
  /** The permitted share of errors. */
  readonly target: number;
  /** Step size. */
  readonly gamma: number;
  /** The current level, in [-γ, 1]. */
  readonly alpha: number;
  /** The initial level. */
  readonly first: number;
  readonly steps: number;
  readonly errors: number;
}

export interface AciOptions {
  /** 1 - agreement, in (0, 1). */
  readonly target: number;
  /** @default 0.02 */
  readonly gamma?: number;
  /** The initial level, in [0, 1]. @default target */
  readonly alpha?: number;
}

/** Returns the initial state. Throws an OptionError for an option outside its range. */
export function createAci({ target, gamma = 0.02, alpha = target }: AciOptions): AciState {
  requireNumber("createAci: target", target, 0, 1, { open: true });
  requireNumber("createAci: gamma", gamma, Number.MIN_VALUE, 1);
  requireNumber("createAci: alpha", alpha, 0, 1);
  return { format: "early-exits/aci", version: 1, target, gamma, alpha, first: alpha, steps: 0, errors: 0 };
}

/** Returns the state after one outcome: an error (1 or true), none (0 or false), or a loss in between. */
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
 * The upper bound on the mean error of the steps so far, provided that no error was possible at levels <= 0. Returns 1
 * before the first step.
 */
export function aciBound({ target, gamma, first, steps }: AciState): number {
  return steps === 0 ? 1 : Math.min(1, target + (Math.max(first, 1 - first) + gamma) / (steps * gamma));
}
