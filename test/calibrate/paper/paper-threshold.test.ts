/** The paper's thresholds: golden numbers and ties; how often they miss their target: test/laws/validity.test.ts. */
import { between, fc, real, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { paperThreshold } from "early-exits/calibrate";
import { expect, it } from "vitest";

const u = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
const c = [1, 1, 0, 1, 1, 1, 0, 0].map(Boolean);

it("has the golden thresholds", () => {
  expect(paperThreshold(u, c, 0.8)).toBe(0.6);
  expect(paperThreshold(u, c, 0.9)).toBe(0.2);
  expect(paperThreshold(u, c, 0.7)).toBe(0.7);
});

it("respects the direction of each score, and is never where the level is never reached", () => {
  const turned = u.map((value) => 1 - value);
  expect(paperThreshold(turned, c, 0.8, { score: "maxProb" })).toBeCloseTo(0.4, 12);
  const wrong = c.map(() => false);
  expect([paperThreshold(u, wrong, 0.8), paperThreshold([], [], 0.8)]).toEqual(["never", "never"]);
});

test.prop([
  fc.array(fc.tuple(between(0, 5), fc.boolean()), { minLength: 1, maxLength: 40 }),
  real(0.05, 0.99),
  fc.nat(),
])(
  "treats equal scores as one block: the order of ties changes nothing, and the level holds on the sample",
  (points, level, seed) => {
    const of = (list: typeof points) => {
      const scores = list.map(([score]) => score);
      return paperThreshold(
        scores,
        list.map(([, agree]) => agree),
        level,
      );
    };
    const threshold = of(points);
    expect(of(createRng(seed).shuffle(points))).toBe(threshold);
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

it("rejects NaN, unequal lengths and illegal levels", () => {
  expect(() => paperThreshold([NaN], [true], 0.9)).toThrow(/NaN/);
  expect(() => paperThreshold([1, 2], [true], 0.9)).toThrow(/2 scores but 1 agreements/);
  expect(() => paperThreshold(u, c, 1.2)).toThrow(/level/);
});
