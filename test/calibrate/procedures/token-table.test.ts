/** Token tables: what vectors of thresholds do with recorded tokens, and which tables are rejected. */
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { populationFamilies } from "../../../lab/simulate/populations.js";
import { evenCosts } from "../../../lab/simulate/simulate.js";
import { proposeOverall } from "../../../src/calibrate/procedures/propose-overall.js";
import { anyChangeLosses, overallLosses } from "../../../src/calibrate/procedures/tally.js";
import { requireTokenTable, takeDocuments, tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { oneExit } from "./small-tables.js";

describe("a token table", () => {
  const table = populationFamilies.plain(createRng(4)).draw(createRng(5), 60);

  it("is tallied as a plain loop over the tokens counts", () => {
    const vector = Array.from({ length: table.exits }, (_, exit) => -0.2 - 0.1 * exit);
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
    expect(
      overallLosses(tally)
        .values.filter((_, i) => i % 3 === 1)
        .every((loss) => loss === 0),
    ).toBe(true);
    expect(
      anyChangeLosses(tally).values.every((loss, i) => loss === (overallLosses(tally).values[i]! > 0 ? 1 : 0)),
    ).toBe(true);
  });

  it("yields documents in the requested order", () => {
    const taken = takeDocuments(table, [5, 2]);
    expect(taken.starts[1]).toBe(table.starts[6]! - table.starts[5]!);
    expect([...taken.oriented[1]!]).toEqual([
      ...table.oriented[1]!.slice(table.starts[5], table.starts[6]),
      ...table.oriented[1]!.slice(table.starts[2], table.starts[3]),
    ]);
  });

  it("rejects NaN scores, empty documents and columns of other lengths", () => {
    const good = oneExit([1, 2, 3], [true, true, false]);
    expect(() => requireTokenTable("here", good)).not.toThrow();
    expect(() => requireTokenTable("here", oneExit([1, NaN], [true, true]))).toThrow(OptionError);
    expect(() => requireTokenTable("here", { ...good, starts: Int32Array.of(0, 0, 3), documents: 2 })).toThrow(
      OptionError,
    );
    expect(() => requireTokenTable("here", { ...good, agrees: [Uint8Array.of(1)] })).toThrow(OptionError);
    expect(() => requireTokenTable("here", { ...good, documents: 0 })).toThrow(OptionError);
    expect(() => proposeOverall(good, evenCosts(1), { epsilon: NaN })).toThrow(OptionError);
  });
});
