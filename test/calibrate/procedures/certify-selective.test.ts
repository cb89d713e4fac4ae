/** Claim (B) on given counts: p-values per exit, both units, and what contradictory counts throw. */
import { fc, test } from "@fast-check/vitest";
import { OptionError } from "early-exits";
import { paperThreshold } from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { binomialTail } from "../../../src/calibrate/bounds/index.js";
import { certifySelective } from "../../../src/calibrate/procedures/certify-selective.js";
import type { Tally } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { oneExit } from "./small-tables.js";

const tallyOf = (left: number[][][], wrong: number[][][], tokens: number[], active?: number[]): Tally => {
  const documents = left.length;
  const candidates = left[0]!.length;
  const exits = left[0]![0]!.length;
  return {
    documents,
    candidates,
    exits,
    tokens: Int32Array.from(tokens),
    left: Int32Array.from(left.flat(2)),
    wrong: Int32Array.from(wrong.flat(2)),
    deep: new Int32Array(documents * candidates),
    active: Uint8Array.from(active ?? Array.from({ length: candidates * exits }, () => 1)),
  };
};

describe("certifySelective", () => {
  it("with tokens as units is the exact binomial test, and the worst exit decides", () => {
    const tally = tallyOf([[[60, 20]], [[40, 30]]], [[[2, 0]], [[1, 1]]], [100, 100]);
    const result = certifySelective(tally, { epsilon: 0.1, delta: 0.05, unit: "token", costs: [1] });
    expect(result.exitPValues[0]).toEqual([binomialTail(3, 100, 0.1), binomialTail(1, 50, 0.1)]);
    expect(result.pValues).toEqual([binomialTail(1, 50, 0.1)]);
    expect(result.risks).toEqual([0.03]);
    expect(result.accepted).toEqual([0]);
  });

  it("gives an exit in use at which no token left p = 1", () => {
    expect(
      certifySelective(tallyOf([[[100, 0]]], [[[0, 0]]], [100]), {
        epsilon: 0.1,
        delta: 0.05,
        unit: "token",
        costs: [1],
      }),
    ).toMatchObject({ chosen: "never", furtherUnits: null });
    expect(
      certifySelective(tallyOf([[[100, 0]]], [[[0, 0]]], [100], [1, 0]), {
        epsilon: 0.1,
        delta: 0.05,
        unit: "token",
        costs: [1],
      }),
    ).toMatchObject({ chosen: 0, exitPValues: [[binomialTail(0, 100, 0.1), null]] });
  });

  it("with documents as units certifies nothing if one document in ten is bad, where tokens as units would", () => {
    const documents = Array.from({ length: 20 }, (_, d) => (d % 10 === 9 ? 40 : 0));
    const tally = tallyOf(
      documents.map(() => [[80]]),
      documents.map((wrong) => [[wrong]]),
      documents.map(() => 100),
    );
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, unit: "token", costs: [1] }).chosen).toBe(0);
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, costs: [1] })).toMatchObject({
      chosen: "never",
      unit: "document",
    });
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, costs: [1] }).furtherUnits).toBeGreaterThan(20);
  });

  it("never certifies a candidate that is always wrong", () => {
    const tally = tallyOf(
      Array.from({ length: 50 }, () => [[10]]),
      Array.from({ length: 50 }, () => [[10]]),
      Array.from({ length: 50 }, () => 10),
    );
    for (const unit of ["token", "document"] as const) {
      expect(certifySelective(tally, { epsilon: 0.1, delta: 0.1, unit, costs: [1] })).toMatchObject({
        chosen: "never",
        furtherUnits: null,
      });
    }
  });

  it("rejects counts that contradict each other", () => {
    const good = tallyOf([[[5]]], [[[1]]], [10]);
    const selective = (tally: Tally) => certifySelective(tally, { epsilon: 0.1, delta: 0.1, costs: [1] });
    expect(() => selective(good)).not.toThrow();
    expect(() => selective(tallyOf([[[5]]], [[[6]]], [10]))).toThrow(OptionError); // more wrong than left
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [4]))).toThrow(OptionError); // more left than the document has
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [0]))).toThrow(OptionError);
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [10], [0]))).toThrow(OptionError); // left at an exit not in use
    expect(() => selective({ ...good, documents: 2 })).toThrow(OptionError);
    expect(() => selective({ ...good, documents: 0 })).toThrow(OptionError);
  });

  test.prop([
    fc.nat(),
    fc.integer({ min: 1, max: 8 }),
    fc.double({ min: 0.5, max: 0.98, noNaN: true }),
    fc.double({ min: 0.01, max: 0.45, noNaN: true }),
  ])(
    "with one exit and tokens as units is never laxer than maxCoverage on the same tokens",
    (seed, levels, agreement, delta) => {
      const rng = createRng(seed);
      const scores = Array.from({ length: 150 }, () => Math.floor(levels * 10 * rng.uniform()) / 10);
      const agrees = scores.map((score) => rng.uniform() < 0.6 + (0.4 * score) / levels);
      const table = oneExit(scores, agrees);
      const vectors = [...new Set(scores)].sort((a, b) => b - a).map((threshold) => [threshold]);
      const { accepted } = certifySelective(tallyVectors(table, vectors), {
        epsilon: 1 - agreement,
        delta,
        unit: "token",
        costs: vectors.map(() => 1),
        procedure: "bonferroni",
      });
      const alone = vectors.filter(
        (vector) =>
          certifySelective(tallyVectors(table, [vector]), { epsilon: 1 - agreement, delta, unit: "token", costs: [1] })
            .chosen === 0,
      );
      const published = paperThreshold(scores, agrees, agreement, { score: "margin" });
      for (const [threshold] of [...accepted.map((i) => vectors[i]!), ...alone]) {
        expect(published).not.toBe("never");
        expect(threshold).toBeGreaterThanOrEqual(published as number);
      }
    },
  );
});
