/** Argument checks of bounds. */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";

/** Throws an OptionError unless delta, the permitted error probability, lies in (0, 1). */
export function requireDelta(where: string, delta: number): void {
  requireNumber(`${where}: delta`, delta, 0, 1, { open: true });
}

/** Throws an OptionError unless the risk level of a null hypothesis lies in (0, 1). */
export function requireLevel(where: string, level: number): void {
  requireNumber(`${where}: level`, level, 0, 1, { open: true });
}

/** Throws an OptionError unless n >= 1 and 0 <= k <= n, for k errors in n units. */
export function requireCounts(where: string, k: number, n: number): void {
  requireInteger(`${where}: n`, n, 1);
  requireInteger(`${where}: k`, k, 0, n);
}

/**
 * Throws an OptionError unless there is at least one loss and each is a number in [0, 1]. Divide losses in [0, B] by B
 * first.
 */
export function requireLosses(where: string, losses: ArrayLike<number>): void {
  if (losses.length === 0) {
    throw new OptionError("losses-empty", `${where}: there are no losses; a bound needs at least one unit`);
  }
  for (let i = 0; i < losses.length; i++) {
    const loss = losses[i]!;
    if (!(loss >= 0 && loss <= 1)) {
      throw new OptionError("loss-range", `${where}: loss ${i} is ${loss}; expected a number in [0, 1]`, {
        index: i,
        loss,
      });
    }
  }
}
