/** Candidates from a grid split: their losses and costs there, their order, and ties. */
import { fc, test } from "../../support/property.js";
import { createRng } from "early-exits/tensor";
import { expect, it } from "vitest";
import { populationFamilies } from "../../../lab/simulate/populations.js";
import { evenCosts } from "../../../lab/simulate/simulate.js";
import { proposeVectors } from "../../../src/calibrate/procedures/propose.js";
import { costsOf, lossesOf } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors, type TokenTable } from "../../../src/calibrate/procedures/token-table.js";
import { sumOf, times } from "../../support/lists.js";

const table = populationFamilies.plain(createRng(4)).draw(createRng(5), 60);

it("get cheaper, and stay within ε on the grid split", () => {
  const costs = evenCosts(table.exits);
  const vectors = proposeVectors(table, costs, { epsilon: 0.1 });
  expect(vectors.length).toBeGreaterThan(3);
  const tally = tallyVectors(table, vectors);
  const { values } = lossesOf(tally, "token");
  const prices = costsOf(tally, costs);
  for (const i of vectors.keys()) {
    const losses = values.filter((_, at) => at % vectors.length === i);
    const risk = sumOf(losses, (loss) => loss / table.documents);
    expect(risk).toBeLessThan(0.1 + 1e-6); // document shares are rounded to 2^-24
    if (i > 0) expect(prices[i]).toBeLessThan(prices[i - 1]!);
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
    const vectors = proposeVectors(rounded, costs, { epsilon: 0.2 });
    expect(proposeVectors(permuted, costs, { epsilon: 0.2 })).toEqual(vectors);
    if (vectors.length > 0) expect(tallyVectors(permuted, vectors)).toEqual(tallyVectors(rounded, vectors));
  },
);

/** Reorders the tokens of each document, in the same way in all columns. */
function permuteWithinDocuments(table: TokenTable, seed: number) {
  const rng = createRng(seed);
  const order = times(table.documents, (d) =>
    rng.shuffle(times(table.starts[d + 1]! - table.starts[d]!, (i) => table.starts[d]! + i)),
  ).flat();
  return {
    ...table,
    oriented: table.oriented.map((column) => Float64Array.from(order, (t) => column[t]!)),
    agrees: table.agrees.map((column) => Uint8Array.from(order, (t) => column[t]!)),
  };
}
