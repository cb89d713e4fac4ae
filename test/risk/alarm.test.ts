/**
 * The alarm of an audit and its intervals: false alarms and misses are as rare as promised however often one looks, and
 * real shifts ring soon. Losses "like those of shifted documents" are beta-distributed with the mean and the
 * coefficient of variation (0.7 to 1.5) that bench/reports/shift.md shows. The full size is lab/audits.ts.
 */
import { between, fc, real, test } from "../support/property.js";
import { OptionError } from "early-exits";
import { alarm, type AlarmState, stepAlarm } from "early-exits/risk";
import { alarmWealth } from "../../src/risk/alarm.js";
import { lossInterval } from "../../src/risk/loss-interval.js";
import { createRng, type Rng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { betaLoss, medianOf, unitsUntilAlarm } from "../../lab/simulate/audits.js";
import { permitted } from "../support/finding.js";
import { once } from "../support/models.js";
import { times } from "../support/lists.js";

describe("the alarm", () => {
  it.for([
    ["losses of 0 or 1", (rng: Rng) => Number(rng.uniform() < 0.05)],
    ["beta losses", (rng: Rng) => betaLoss(rng, 0.05, 1)],
    ["losses that alternate between 0 and 0.1", (rng: Rng) => (rng.uniform() < 0.5 ? 0 : 0.1)],
  ] as const)("is false in at most δ of the runs, even if checked after every unit: %s", ([, draw]) => {
    const runs = 600;
    for (const delta of [0.05, 0.2]) {
      const rng = createRng(17);
      let alarms = 0;
      for (let run = 0; run < runs; run++) {
        if (unitsUntilAlarm(alarm([], 0.05, delta), () => draw(rng), 300) <= 300) alarms++;
      }
      expect(alarms / runs).toBeLessThanOrEqual(permitted(delta, runs));
      expect(alarms / runs).toBeGreaterThan(delta / 20); // not vacuous: it does bet
    }
  });

  // What any test of losses of 0 or 1 must see, in the mean.
  const fewest = Math.log(20) / (0.03 * Math.log(3) + 0.97 * Math.log(0.97 / 0.99));
  it.for<[string, (rng: Rng) => number, number, quiet?: number]>([
    ["of three times the promise", (rng) => betaLoss(rng, 0.03, 0.7), 100],
    ["as large, and less like each other", (rng) => betaLoss(rng, 0.03, 1.5), 100],
    ["as large, of 0 or 1: 1.5 times what any test needs", (rng) => Number(rng.uniform() < 0.03), 1.5 * fewest],
    ["as large, after a change that comes late", (rng) => betaLoss(rng, 0.03, 1), 100, 1000],
  ])("rings at .99 soon, with losses %s", ([, draw, most, quiet = 0]) => {
    const rng = createRng(18);
    const units = times(150, () => {
      const before = times(quiet, () => betaLoss(rng, 0.006, 1));
      const state = alarm(before, 0.01, 0.05);
      expect(state.raised).toBe(false);
      return unitsUntilAlarm(state, () => draw(rng), 5000);
    });
    expect(medianOf(units)).toBeLessThanOrEqual(most);
  });

  test.prop([fc.array(real(0, 1), { maxLength: 60 })])(
    "is a bet of 1 in all: its wealth is finite and >= 0, and JSON keeps the state",
    (losses) => {
      let state = alarm([], 0.02, 0.05);
      expect(alarmWealth(state)).toBe(1);
      for (const loss of losses) {
        state = JSON.parse(JSON.stringify(stepAlarm(state, loss))) as AlarmState;
        expect(alarmWealth(state)).toBeGreaterThan(0);
        expect(alarmWealth(state)).toBeLessThan(Infinity);
      }
      expect(state.units).toBe(losses.length);
    },
  );

  it("has an expected wealth of 1 if the mean loss is what was claimed", () => {
    // Both outcomes of a fair bet, three units long: the mean over all eight paths, weighted by their probabilities.
    const [target, high] = [0.2, 0.5];
    const chance = target / high;
    const meanFrom = (state: AlarmState, left: number): number =>
      left === 0
        ? alarmWealth(state)
        : chance * meanFrom(stepAlarm(state, high), left - 1) + (1 - chance) * meanFrom(stepAlarm(state, 0), left - 1);
    expect(meanFrom(alarm([], target, 1e-9), 3)).toBeCloseTo(1, 12);
  });

  it("stays raised", () => {
    const losses = times(210, (u) => Number(u < 10));
    expect([losses.slice(0, 10), losses].map((some) => alarm(some, 0.05, 0.05).raised)).toEqual([true, true]);
  });

  it("rejects losses and options outside their ranges", () => {
    for (const bad of [NaN, -0.1, 1.1]) {
      expect(() => stepAlarm(alarm([], 0.1, 0.1), bad)).toThrow(OptionError);
      expect(() => alarm([0, bad], 0.1, 0.1)).toThrow(OptionError);
      expect(() => alarm([], bad, 0.1)).toThrow(OptionError);
      expect(() => alarm([], 0.1, bad)).toThrow(OptionError);
    }
  });
});

describe("the interval of the loss", () => {
  it("has the limits that the mixture gives in closed form where there is no loss", () => {
    // M_n(m) = B(1/2, n + 1/2) / π / (1-m)^n, and B(1/2, n + 1/2) / π = (2n)! / (4^n n!²)
    const n = 20;
    let share = 1;
    for (let k = 1; k <= n; k++) share *= (2 * k - 1) / (2 * k);
    expect(lossInterval(n, 0, 0.05).high).toBeCloseTo(1 - (0.05 * share) ** (1 / n), 10);
    expect(lossInterval(n, 0, 0.05).low).toBe(0);
    expect(lossInterval(0, 0, 0.05)).toEqual({ low: 0, high: 1 });
  });

  it("misses the mean in at most δ of the runs, over all times together", () => {
    const runs = 400;
    const rng = createRng(21);
    const intervalAt = once(([n, sum]: readonly [number, number]) => lossInterval(n, sum, 0.2)); // runs meet again
    let missed = 0;
    for (let run = 0; run < runs; run++) {
      let sum = 0;
      let inside = true;
      for (let n = 1; n <= 300; n++) {
        sum += Number(rng.uniform() < 0.1);
        const { low, high } = intervalAt([n, sum]);
        inside &&= low <= 0.1 && 0.1 <= high;
      }
      if (!inside) missed++;
    }
    expect(missed / runs).toBeLessThanOrEqual(permitted(0.2, runs));
    expect(missed / runs).toBeGreaterThan(0);
  });

  test.prop([between(1, 5000), real(0, 1)])(
    "contains the mean of the losses, and is narrower at a larger δ",
    (n, mean) => {
      const wide = lossInterval(n, n * mean, 0.01);
      const narrow = lossInterval(n, n * mean, 0.2);
      expect(wide.low).toBeLessThanOrEqual(narrow.low);
      expect(narrow.low).toBeLessThanOrEqual(mean + 1e-12);
      expect(narrow.high).toBeGreaterThanOrEqual(mean - 1e-12);
      expect(wide.high).toBeGreaterThanOrEqual(narrow.high);
    },
  );
});
