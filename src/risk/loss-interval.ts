/**
 * A confidence sequence for the mean loss: intervals of which, with probability 1 - δ, ALL contain the mean of the
 * units' expected losses so far. For losses in [0, 1] with mean m, E e^(λL) <= 1 - m + m e^λ. So for every θ in (0, 1)
 * the product (θ/m)^S ((1-θ)/(1-m))^(n-S), with S the sum of n losses, is a supermartingale, and so is its mixture over
 * θ ~ Beta(1/2, 1/2):
 *   M_n(m) = B(S + 1/2, n - S + 1/2) / B(1/2, 1/2) / (m^S (1-m)^(n-S))          interval = {m : M_n(m) < 1/δ}
 * (Robbins 1970; for bounded losses, Waudby-Smith and Ramdas 2023). It is exact for losses of 0 or 1.
 */
import { requireNumber } from "../errors.js";
import { requireInside } from "./check.js";

export interface LossInterval {
  readonly low: number;
  readonly high: number;
}

/** The interval after `units` losses in [0, 1] with this sum; [0, 1] before the first. */
export function lossInterval(units: number, lossSum: number, delta: number): LossInterval {
  requireNumber("lossInterval: lossSum", lossSum, units);
  requireInside("lossInterval: delta", delta);
  if (units === 0) return { low: 0, high: 1 };
  const rest = units - lossSum;
  const evidence = logBeta(lossSum + 0.5, rest + 0.5) - Math.log(Math.PI); // B(1/2, 1/2) = π
  const excluded = (m: number): boolean =>
    evidence - times(lossSum, Math.log(m)) - times(rest, Math.log1p(-m)) >= -Math.log(delta);
  const mean = lossSum / units;
  return { low: excluded(0) ? border(excluded, 0, mean) : 0, high: excluded(1) ? border(excluded, 1, mean) : 1 };
}

/** 0 log 0 is 0. */
function times(count: number, log: number): number {
  return count === 0 ? 0 : count * log;
}

/** Returns the excluded side. */
function border(excluded: (m: number) => boolean, outside: number, inside: number): number {
  let [out, within] = [outside, inside];
  for (let step = 0; step < 60; step++) {
    const middle = (out + within) / 2;
    if (excluded(middle)) out = middle;
    else within = middle;
  }
  return out;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** log Γ(x) for x > 0: Stirling's series, after Γ(x) = Γ(x + 1) / x has carried x to 10. Error below 1e-13. */
function logGamma(x: number): number {
  let shifted = x;
  let product = 1;
  while (shifted < 10) product *= shifted++;
  const inverse = 1 / shifted ** 2;
  const series =
    (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / shifted;
  return (shifted - 0.5) * Math.log(shifted) - shifted + Math.log(2 * Math.PI) / 2 + series - Math.log(product);
}
