/** Candidates from a grid split: what they predict, their order, and ties. */
import { fc, test } from "@fast-check/vitest";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { populationFamilies } from "../../../lab/simulate/populations.js";
import { evenCosts } from "../../../lab/simulate/simulate.js";
import { costsOf } from "../../../src/calibrate/procedures/candidate.js";
import { proposeOverall } from "../../../src/calibrate/procedures/propose-overall.js";
import { proposeSelective } from "../../../src/calibrate/procedures/propose-selective.js";
import { overallLosses } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors, type TokenTable } from "../../../src/calibrate/procedures/token-table.js";

describe("candidates", () => {
  const table = populationFamilies.plain(createRng(4)).draw(createRng(5), 60);

  it("predict the risk and cost that the tally measures", () => {
    const costs = evenCosts(table.exits);
    for (const candidates of [
      proposeOverall(table, costs, { epsilon: 0.1 }),
      proposeSelective(table, costs, { epsilon: 0.1 }),
    ]) {
      expect(candidates.length).toBeGreaterThan(3);
      const tally = tallyVectors(
        table,
        candidates.map(({ thresholds }) => thresholds),
      );
      const { values } = overallLosses(tally);
      const measured = costsOf(tally, costs);
      candidates.forEach(({ risk, cost }, candidate) => {
        const mean = values.reduce(
          (sum, loss, i) => sum + (i % candidates.length === candidate ? loss / table.documents : 0),
          0,
        );
        expect(Math.abs(risk - mean)).toBeLessThan(1e-6); // document shares are rounded to 2^-24
        expect(Math.abs(cost - measured[candidate]!)).toBeLessThan(1e-12);
      });
    }
  });

  it("for the overall claim get cheaper, and stay within ε on the grid split", () => {
    const candidates = proposeOverall(table, evenCosts(table.exits), { epsilon: 0.1 });
    for (const [i, { risk, cost }] of candidates.entries()) {
      expect(risk).toBeLessThanOrEqual(0.1);
      if (i > 0) expect(cost).toBeLessThan(candidates[i - 1]!.cost);
    }
  });

  it("leave out a head that costs too much; if every head does, there is nothing to test", () => {
    const costs = {
      ...evenCosts(table.exits),
      head: evenCosts(table.exits).head.map((_, exit) => (exit === 0 ? 5 : 0.01)),
    };
    for (const propose of [proposeOverall, proposeSelective]) {
      const candidates = propose(table, costs, { epsilon: 0.1 });
      expect(candidates.length).toBeGreaterThan(0);
      expect(candidates.every(({ thresholds }) => thresholds[0] === Infinity)).toBe(true);
      expect(propose(table, { ...costs, head: costs.head.map(() => 5) }, { epsilon: 0.1 })).toEqual([]);
    }
  });

  test.prop([fc.nat(), fc.constantFrom("ties", "plain", "uselessHead")])(
    "do not change if tied scores are permuted, nor does their tally",
    (seed, family) => {
      const population = populationFamilies[family](createRng(seed));
      const drawn = population.draw(createRng(seed + 1), 40);
      const rounded: TokenTable = {
        ...drawn,
        oriented: drawn.oriented.map((column) => column.map((score) => Math.round(score * 8) / 8)),
      };
      const permuted = permuteWithinDocuments(rounded, seed);
      const costs = evenCosts(population.exits);
      for (const propose of [proposeOverall, proposeSelective]) {
        const candidates = propose(rounded, costs, { epsilon: 0.2 });
        expect(propose(permuted, costs, { epsilon: 0.2 })).toEqual(candidates);
        if (candidates.length === 0) continue;
        const vectors = candidates.map(({ thresholds }) => thresholds);
        expect(tallyVectors(permuted, vectors)).toEqual(tallyVectors(rounded, vectors));
      }
    },
  );
});

/** Reorders the tokens of each document, in the same way in all columns. */
function permuteWithinDocuments(table: TokenTable, seed: number): TokenTable {
  const rng = createRng(seed);
  const order = Array.from({ length: table.documents }, (_, d) =>
    rng.shuffle(Array.from({ length: table.starts[d + 1]! - table.starts[d]! }, (_unused, i) => table.starts[d]! + i)),
  ).flat();
  return {
    ...table,
    oriented: table.oriented.map((column) => Float64Array.from(order, (t) => column[t]!)),
    agrees: table.agrees.map((column) => Uint8Array.from(order, (t) => column[t]!)),
  };
}
