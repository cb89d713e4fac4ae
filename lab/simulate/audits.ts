/**
 * Audits simulated: losses of units with a known mean, and after how many of them the alarm rings. Losses of documents
 * are near to beta-distributed; the coefficient of variation says how unlike each other documents are.
 */
import { alarm, type AlarmState, stepAlarm } from "early-exits/risk";
import { createRng, type Rng } from "early-exits/tensor";

/** A loss in [0, 1] with this mean and coefficient of variation, from a beta distribution. */
export function betaLoss(rng: Rng, mean: number, variation: number): number {
  const concentration = (1 - mean) / mean / variation ** 2 - 1;
  const a = gamma(rng, mean * concentration);
  const b = gamma(rng, (1 - mean) * concentration);
  return a / (a + b);
}

/** A gamma variable of this shape, by Marsaglia and Tsang (2000). */
function gamma(rng: Rng, shape: number): number {
  if (shape < 1) return gamma(rng, shape + 1) * (1 - rng.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  for (;;) {
    const x = rng.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - rng.uniform()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Number of units until the alarm is raised; most + 1 if it takes more than `most`. */
export function unitsUntilAlarm(from: AlarmState, draw: () => number, most: number): number {
  let state = from;
  for (let units = 1; units <= most; units++) {
    state = stepAlarm(state, draw());
    if (state.raised) return units;
  }
  return most + 1;
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

interface SimulatedAudits {
  readonly alarms: number;
  /** Units until the alarm, over all runs; a run without alarm counts `most` + 1. */
  readonly median: number;
}

/** Simulates audits of up to `most` units. */
export function simulateAudits(
  draw: (rng: Rng) => number,
  { target, delta, runs, most, seed }: Record<"target" | "delta" | "runs" | "most" | "seed", number>,
): SimulatedAudits {
  const root = createRng(seed);
  const units = Array.from({ length: runs }, (_, run) => {
    const rng = root.fork(`run ${run}`);
    return unitsUntilAlarm(alarm([], target, delta), () => draw(rng), most);
  });
  return { alarms: units.filter((count) => count <= most).length, median: medianOf(units) };
}
