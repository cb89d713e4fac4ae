/**
 * One p-value for "the mean loss exceeds ε", by any of the four bounds on a mean (../bounds).
 */
import { OptionError } from "../../errors.js";
import { binomialTail, hoeffdingBentkusPValue, hoeffdingPValue, wsrPValue } from "../bounds/index.js";

/**
 * How a mean loss is bounded. `clopperPearson` is exact but requires losses of 0 or 1; `wsr` uses the variance and
 * depends on the order of the units.
 */
export type MeanBound = "hoeffding" | "hoeffdingBentkus" | "wsr" | "clopperPearson";

export interface MeanTest {
  readonly epsilon: number;
  readonly delta: number;
  readonly bound: MeanBound;
}

/** p-value for the null hypothesis "the mean of these losses exceeds epsilon". */
export function meanPValue(losses: Float64Array, { epsilon, delta, bound }: MeanTest): number {
  switch (bound) {
    case "hoeffding":
      return hoeffdingPValue(sumOf(losses), losses.length, epsilon);
    case "hoeffdingBentkus":
      return hoeffdingBentkusPValue(sumOf(losses), losses.length, epsilon);
    case "wsr":
      return wsrPValue(losses, epsilon, delta);
    case "clopperPearson":
      requireBinary(losses);
      return binomialTail(sumOf(losses), losses.length, epsilon);
  }
}

export function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}

function requireBinary(losses: Float64Array): void {
  const bad = losses.findIndex((loss) => loss !== 0 && loss !== 1);
  if (bad < 0) return;
  throw new OptionError(
    "loss-range",
    `clopperPearson: the loss of unit ${bad} is ${losses[bad]!}; expected 0 or 1, use "wsr" for other losses`,
    { unit: bad },
  );
}
