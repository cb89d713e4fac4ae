/**
 * The alarm of an audit and its intervals: false alarms and misses are as rare as promised however often one looks, and
 * real shifts ring soon. Losses "like those of shifted documents" are beta-distributed with the mean and the
 * coefficient of variation (0.7 to 1.5) that bench/reports/shift.md shows. The full size is lab/audits.ts.
 */
import { fc, test } from "../../support/property.js";
import { OptionError } from "early-exits";
import { type AlarmState, createAlarm, stepAlarm } from "early-exits/calibrate";
import { alarmWealth, lossInterval } from "../../../src/calibrate/audit/audit.js";
import { createRng, type Rng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { betaLoss, medianOf, unitsUntilAlarm } from "../../../lab/simulate/audits.js";
import { between, real } from "../../support/draw.js";
import { permitted } from "../../support/finding.js";
import { once } from "../../support/models.js";
import { times } from "../../support/lists.js";

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
        if (unitsUntilAlarm(createAlarm({ target: 0.05, delta }), () => draw(rng), 300) <= 300) alarms++;
      }
      expect(alarms / runs).toBeLessThanOrEqual(permitted(delta, runs));
      expect(alarms / runs).toBeGreaterThan(delta / 20); // not vacuous: it does bet
    }
  });

  it("rings at .99 within a median of 100 units if losses are three times the promise", () => {
    for (const variation of [0.7, 1, 1.5]) {
      const rng = createRng(18);
      const units = times(200, () =>
        unitsUntilAlarm(createAlarm({ target: 0.01 }), () => betaLoss(rng, 0.03, variation), 2000),
      );
      expect(medianOf(units)).toBeLessThanOrEqual(100);
    }
  });

  it("for losses of 0 or 1 needs at most 1.5 times as many units as any test must, ln(1/δ) / KL", () => {
    const rng = createRng(19);
    const kl = 0.03 * Math.log(3) + 0.97 * Math.log(0.97 / 0.99);
    const units = times(200, () =>
      unitsUntilAlarm(createAlarm({ target: 0.01 }), () => Number(rng.uniform() < 0.03), 5000),
    );
    expect(medianOf(units)).toBeLessThan((1.5 * Math.log(20)) / kl);
  });

  it("rings soon after a change that comes late", () => {
    const rng = createRng(20);
    const units = times(100, () => {
      let state = createAlarm({ target: 0.01 });
      for (let u = 0; u < 1000; u++) state = stepAlarm(state, betaLoss(rng, 0.006, 1));
      expect(state.raised).toBe(false);
      return unitsUntilAlarm(state, () => betaLoss(rng, 0.03, 1), 2000);
    });
    expect(medianOf(units)).toBeLessThanOrEqual(100);
  });

  test.prop([fc.array(real(0, 1), { maxLength: 60 })])(
    "is a bet of 1 in all: its wealth is finite and >= 0, and JSON keeps the state",
    (losses) => {
      let state = createAlarm({ target: 0.02 });
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
    expect(meanFrom(createAlarm({ target, delta: 1e-9 }), 3)).toBeCloseTo(1, 12);
  });

  it("stays raised", () => {
    let state = createAlarm({ target: 0.05 });
    for (let u = 0; u < 10; u++) state = stepAlarm(state, 1);
    expect(state.raised).toBe(true);
    for (let u = 0; u < 200; u++) state = stepAlarm(state, 0);
    expect(state.raised).toBe(true);
  });

  it("rejects losses and options outside their ranges", () => {
    for (const bad of [NaN, -0.1, 1.1]) {
      expect(() => stepAlarm(createAlarm({ target: 0.1 }), bad)).toThrow(OptionError);
      expect(() => createAlarm({ target: bad })).toThrow(OptionError);
      expect(() => createAlarm({ target: 0.1, delta: bad })).toThrow(OptionError);
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
