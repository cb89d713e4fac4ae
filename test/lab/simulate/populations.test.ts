/** Populations: their stated truth is what large draws show. */
import { deviation, mean } from "d3-array";
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { createPopulation } from "../../../lab/simulate/population.js";
import { cascadePopulation, curvePopulation, populationFamilies } from "../../../lab/simulate/populations.js";
import { lossesOf } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { times } from "../../support/lists.js";

describe("populations", () => {
  it("the curve population has a selective agreement of 1 - 0.2 τ²", () => {
    for (const tau of [0.1, 0.5, Math.SQRT1_2, 1]) {
      expect(Math.abs(curvePopulation().truth([-tau], "tokens").exits[0]!.risk - 0.2 * tau ** 2)).toBeLessThan(2e-5);
    }
  });

  it("the second exit of the cascade population agrees on 0.910 of all tokens, on 0.815 of those it answers", () => {
    const population = cascadePopulation();
    expect(1 - population.truth([Infinity, -Infinity], "tokens").exits[1]!.risk).toBeCloseTo(0.91, 4);
    expect(1 - population.truth([1, -Infinity], "tokens").exits[1]!.risk).toBeCloseTo(0.815, 12);
  });

  it.for(Object.keys(populationFamilies) as (keyof typeof populationFamilies)[])(
    "a large draw of %s shows the stated truth",
    (family) => {
      if (family === "drift") return; // its draws differ from its truth by design
      const population = populationFamilies[family](createRng(11));
      const table = population.draw(createRng(12), 4000);
      const vector = times(
        population.exits,
        (exit) => [...table.oriented[exit]!].sort((a, b) => b - a)[Math.floor(table.oriented[exit]!.length * 0.4)]!,
      );
      const tally = tallyVectors(table, [vector]);
      const { risk, anyChange } = population.truth(vector, "documents");
      for (const [loss, truth] of [["token", risk] as const, ["anyChange", anyChange] as const]) {
        if (Number.isNaN(truth)) continue; // sampled tokens change in part
        const { values } = lossesOf(tally, loss);
        const error = deviation(values)! / Math.sqrt(values.length);
        expect(Math.abs(mean(values)! - truth)).toBeLessThan(4 * error + 1e-9);
      }
    },
  );

  it("parts that do not fit are rejected", () =>
    expect(() => createPopulation({ name: "x", classes: [], kinds: [] })).toThrow(OptionError));
});
