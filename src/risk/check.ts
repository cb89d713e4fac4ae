/** Parts that bounds share: checks of arguments, and the inversion of a test. */
import { OptionError, requireNumber } from "../errors.js";
import { shown } from "../shown.js";

/** Throws an OptionError unless an error probability or a level of risk lies in (0, 1). */
export function requireInside(name: string, value: number): void {
  requireNumber(name, value, 1, { open: true });
}

/**
 * Returns the sum of losses. Throws an OptionError unless there are enough, each a number in [0, 1]: divide losses in
 * [0, B] by B first.
 */
export function requireLosses(where: string, losses: ArrayLike<number>, least = 1): number {
  const units = Number((Object(losses) as Partial<ArrayLike<number>>).length);
  if (!(units >= least)) {
    throw new OptionError(
      "losses-few",
      `${where}: expected an array of ${least} or more losses, found ${shown(losses)}`,
    );
  }
  let sum = 0;
  for (let i = 0; i < units; i++) {
    const loss = losses[i]!;
    if (!(typeof loss === "number" && loss >= 0 && loss <= 1)) {
      throw new OptionError("loss-range", `${where}: loss ${i} is ${shown(loss)}; expected a number in [0, 1]`, {
        index: i,
        loss,
      });
    }
    sum += loss;
  }
  return sum;
}

/** The smallest number in [0, 1] with a monotone property, which 1 has: bisected to adjacent floats. */
export function smallest(holds: (value: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (holds(middle)) high = middle;
    else low = middle;
  }
}

/** A bound on a population's mean, from the losses of independent units. */
export interface MeanBound {
  /** Mean of these losses. */
  readonly mean: number;
  /** For the null hypothesis "the population's mean exceeds the level": it is <= δ with probability δ at most. */
  readonly pValue: number;
  /** The population's mean exceeds this limit with probability delta at most. */
  readonly upper: number;
}
