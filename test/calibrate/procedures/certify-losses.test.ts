/** The test of given losses: which candidates are accepted, and which is chosen. */
import { fc, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { binomialTail } from "../../../src/calibrate/bounds/binomial.js";
import { wsrPValue } from "../../../src/calibrate/bounds/wsr.js";
import {
  certifyLosses,
  type CertifyOptions,
  cheapest,
  errorFreeUnits,
} from "../../../src/calibrate/procedures/certify-losses.js";
import type { LossMatrix } from "../../../src/calibrate/procedures/tally.js";
import { between, real } from "../../support/draw.js";
import { times } from "../../support/lists.js";

/** A matrix of losses from its rows, one per unit. */
function lossMatrix(rows: readonly (readonly number[])[], { binary = false } = {}): LossMatrix {
  return {
    binary,
    units: rows.length,
    candidates: rows[0]?.length ?? 0,
    values: Float64Array.from(rows.flat()),
  };
}

const options: CertifyOptions = { epsilon: 0.1, delta: 0.05 };

describe("certifyLosses", () => {
  const rows = times(80, () => [0, 0, 1]);
  const perfect = lossMatrix(rows, { binary: true });

  it("accepts the candidates that pass; the cheapest of them is chosen", () => {
    const result = certifyLosses(perfect, options);
    expect(result).toMatchObject({ accepted: 2, furtherUnits: 0 });
    expect([cheapest([3, 2]), cheapest([1, 1]), cheapest([])]).toEqual([1, 0, "never"]);
    expect(result.pValues[0]).toBe(binomialTail(0, 80, 0.1));
    expect(certifyLosses(lossMatrix(rows), options).pValues[0]).toBe(
      wsrPValue(
        rows.map(() => 0),
        0.1,
        0.05,
      ),
    );
  });

  it("stops at the first failure", () => {
    const inOrder = (...order: number[]) => ({
      ...perfect,
      values: Float64Array.from(rows.flatMap((row) => order.map((i) => row[i]!))),
    });
    expect(certifyLosses(inOrder(1, 2, 0), options)).toMatchObject({ accepted: 1 });
    expect(certifyLosses(inOrder(2, 0, 1), options)).toMatchObject({ accepted: 0 });
  });

  it("estimates how many more units are needed: without errors, the closed formula", () => {
    const few = times(10, () => [0]);
    const one = { epsilon: 0.1, delta: 0.05 };
    expect(certifyLosses(lossMatrix(few, { binary: true }), one)).toMatchObject({
      accepted: 0,
      furtherUnits: errorFreeUnits(0.1, 0.05) - 10,
    });
    expect(certifyLosses(lossMatrix(few), one).furtherUnits).toBeGreaterThan(10);
  });

  it("estimates null if the observed risk is not below ε, or hardly, because no number of units would do", () => {
    expect(certifyLosses(lossMatrix([[0.0999], [0.0999]]), options).furtherUnits).toBeNull();
    for (const binary of [true, false]) {
      const wrong = lossMatrix(
        times(200, () => [1, 1]),
        { binary },
      );
      expect(certifyLosses(wrong, { epsilon: 0.1, delta: 0.05 })).toMatchObject({
        accepted: 0,
        furtherUnits: null,
      });
    }
  });

  it("certifies nothing from one document", () => {
    for (const binary of [true, false]) {
      expect(certifyLosses(lossMatrix([[0]], { binary }), { epsilon: 0.1, delta: 0.05 }).accepted).toBe(0);
    }
  });

  const losses = fc.record({
    seed: fc.nat(),
    n: between(2, 400),
    scale: real(0.01, 0.6),
  });
  const level = real(0.01, 0.5);
  test.prop([losses, fc.boolean(), level, level, real(0.1, 1)])(
    "accepts fewer candidates as the agreement rises or δ falls",
    ({ seed, n, scale }, binary, epsilon, delta, factor) => {
      const data = randomLosses(seed, n, { scale, binary });
      const at = (risk: number, chance: number): number =>
        certifyLosses(data, { epsilon: risk, delta: chance }).accepted;
      expect(at(epsilon * factor, delta)).toBeLessThanOrEqual(at(epsilon, delta));
      expect(at(epsilon, delta * factor)).toBeLessThanOrEqual(at(epsilon, delta));
    },
  );
});

function randomLosses(seed: number, n: number, { scale, binary }: { scale: number; binary: boolean }): LossMatrix {
  const rng = createRng(seed);
  const steps = binary ? 1 : 8;
  return lossMatrix(
    times(n, () => times(5, (c) => Math.min(1, Math.floor(steps * rng.uniform() * scale * (c + 1)) / steps))),
    { binary },
  );
}
