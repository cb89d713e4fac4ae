/** Token tables: what vectors of thresholds do with recorded tokens, and which tables are rejected. */
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { expect, it } from "vitest";
import { populationFamilies } from "../../../lab/simulate/populations.js";
import { lossesOf, type Tally } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { times } from "../../support/lists.js";

const table = populationFamilies.plain(createRng(4)).draw(createRng(5), 60);

it("is tallied as a plain loop over the tokens counts", () => {
  const vector = times(table.exits, (exit) => -0.2 - 0.1 * exit);
  const tally = tallyVectors(table, [vector, vector.map(() => Infinity), vector.map(() => -Infinity)]);
  for (let d = 0; d < table.documents; d++) {
    const counted = { left: vector.map(() => 0), wrong: vector.map(() => 0) };
    for (let t = table.starts[d]!; t < table.starts[d + 1]!; t++) {
      const exit = vector.findIndex((threshold, e) => table.oriented[e]![t]! >= threshold);
      if (exit >= 0) counted.left[exit]!++;
      if (exit >= 0 && table.agrees[exit]![t] === 0) counted.wrong[exit]!++;
    }
    const row = d * 3 * table.exits;
    expect([...tally.left.subarray(row, row + table.exits)]).toEqual(counted.left);
    expect([...tally.wrong.subarray(row, row + table.exits)]).toEqual(counted.wrong);
    expect(tally.left.subarray(row + table.exits, row + 2 * table.exits).every((count) => count === 0)).toBe(true);
    expect(tally.left[row + 2 * table.exits]).toBe(tally.tokens[d]);
  }
  const [shares, changes] = (["token", "anyChange"] as const).map((loss) => lossesOf(tally, loss));
  expect(shares!.values.filter((_, i) => i % 3 === 1).some((loss) => loss !== 0)).toBe(false);
  expect([...changes!.values]).toEqual(Array.from(shares!.values, (loss) => Number(loss > 0)));
  expect([shares!.binary, changes!.binary]).toEqual([false, true]);
});

it("rejects counts that contradict each other", () => {
  const tallyOf = (left: number, wrong: number, tokens: number, active = 1) => ({
    documents: 1,
    candidates: 1,
    exits: 1,
    tokens: Int32Array.of(tokens),
    left: Int32Array.of(left),
    wrong: Float64Array.of(wrong),
    deep: Float64Array.of(0),
    active: Uint8Array.of(active),
  });
  const good = tallyOf(5, 1, 10);
  const losses = (tally: Tally) => lossesOf(tally, "token");
  expect(() => losses(good)).not.toThrow();
  for (const bad of [
    tallyOf(5, 6, 10), // more wrong than left
    tallyOf(5, 1, 4), // more left than the document has
    tallyOf(5, 1, 0),
    tallyOf(5, 1, 10, 0), // left at an exit not in use
    { ...good, documents: 2 },
    { ...good, documents: 0 },
  ]) {
    expect(() => losses(bad)).toThrow(OptionError);
  }
});
