/** The paper's thresholds: golden numbers and ties; how often they miss their target: test/laws/validity.test.ts. */
import { fc, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { paperThreshold } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { paperStrategies, type PaperStrategy } from "../../../src/calibrate/paper/paper-threshold.js";
import { between, real } from "../../support/draw.js";

const u = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
const c = [1, 1, 0, 1, 1, 1, 0, 0].map(Boolean);

describe("paperThreshold", () => {
  it("has the golden thresholds", () => {
    expect(paperThreshold(u, c, 0.8)).toBe(0.6);
    expect(paperThreshold(u, c, 0.8, { strategy: "minCoverage" })).toBe(0.1);
    expect(paperThreshold(u, c, 0.8, { strategy: "midpoint" })).toBeCloseTo(0.65, 12);
    expect(paperThreshold(u, c, 0.9)).toBe(0.2);
    expect(paperThreshold(u, c, 0.7)).toBe(0.7);
  });

  it("respects the direction of each score", () => {
    expect(
      paperThreshold(
        u.map((value) => 1 - value),
        c,
        0.8,
        { score: "maxProb" },
      ),
    ).toBeCloseTo(0.4, 12);
    expect(
      paperThreshold(
        u.map((value) => -value),
        c,
        0.8,
        { score: "margin", strategy: "midpoint" },
      ),
    ).toBeCloseTo(-0.65, 12);
  });

  it("gives a head that never reaches the level the threshold never", () => {
    const wrong = c.map(() => false);
    for (const strategy of paperStrategies) {
      expect(paperThreshold(u, wrong, 0.8, { strategy })).toBe("never");
      expect(paperThreshold([], [], 0.8, { strategy })).toBe("never");
    }
  });

  it("by a logistic fit finds the level if agreement follows a logistic curve", () => {
    const rng = createRng(3);
    const scores = Array.from({ length: 20_000 }, () => 4 * rng.uniform());
    const agrees = scores.map((score) => rng.uniform() < 1 / (1 + Math.exp(-(5 - 2 * score))));
    for (const level of [0.6, 0.8, 0.95]) {
      const exact = (5 - Math.log(level / (1 - level))) / 2;
      expect(Math.abs((paperThreshold(scores, agrees, level, { strategy: "platt" }) as number) - exact)).toBeLessThan(
        0.08,
      );
    }
  });

  it("by a logistic fit clips to the observed scores", () => {
    const agrees = u.map((value) => value < 0.75);
    expect(
      paperThreshold(
        u,
        u.map(() => true),
        0.9,
        { strategy: "platt" },
      ),
    ).toBe(0.8);
    const threshold = paperThreshold(u, agrees, 0.5, { strategy: "platt" }) as number;
    expect(threshold).toBeGreaterThan(0.6);
    expect(threshold).toBeLessThanOrEqual(0.8);
  });

  test.prop([
    fc.array(fc.tuple(between(0, 5), fc.boolean()), { minLength: 1, maxLength: 40 }),
    real(0.05, 0.99),
    fc.nat(),
  ])(
    "treats equal scores as one block: the order of ties changes nothing, and the level holds on the sample",
    (points, level, seed) => {
      const of = (list: typeof points, strategy?: PaperStrategy) =>
        paperThreshold(
          list.map(([score]) => score),
          list.map(([, agree]) => agree),
          level,
          strategy && { strategy },
        );
      const shuffled = createRng(seed).shuffle(points);
      for (const strategy of ["maxCoverage", "minCoverage", "midpoint"] as const) {
        expect(of(shuffled, strategy)).toBe(of(points, strategy));
      }
      const threshold = of(points);
      const leaving = points.filter(([score]) => threshold !== "never" && score <= (threshold as number));
      if (threshold !== "never") {
        expect(leaving.filter(([, agree]) => agree).length / leaving.length).toBeGreaterThanOrEqual(level);
      }
      // Maximal: no laxer observed score would do.
      for (const [score] of points.filter(([value]) => threshold === "never" || value > (threshold as number))) {
        const laxer = points.filter(([value]) => value <= score);
        expect(laxer.filter(([, agree]) => agree).length / laxer.length).toBeLessThan(level);
      }
    },
  );

  it("rejects NaN, unequal lengths, unknown strategies and illegal levels", () => {
    expect(() => paperThreshold([NaN], [true], 0.9)).toThrow(/NaN/);
    expect(() => paperThreshold([1, 2], [true], 0.9)).toThrow(/2 scores but 1 agreements/);
    expect(() => paperThreshold(u, c, 1.2)).toThrow(/level/);
    expect(() => paperThreshold(u, c, 0.9, { strategy: "best" as "midpoint" })).toThrow(
      /choose one of maxCoverage, minCoverage, midpoint, platt/,
    );
  });
});
