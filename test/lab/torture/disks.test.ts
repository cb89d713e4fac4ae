/** The short form of `npm run torture`: commands on slow, full and lying disks end in the true result or are refused. */
import { expect, it } from "vitest";
import { tortureDisks } from "../../../lab/torture/index.js";

it("on a bad disk commands have the result of a good one, or an error of this library and no temporary file", async () => {
  const { runs, outcomes } = await tortureDisks({ runs: 15, seed: 1 });
  expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(runs);
  for (const fault of ["slow", "full", "lying"]) {
    const found = Object.entries(outcomes).filter(([outcome]) => outcome.includes(`${fault} disk`));
    expect(found.reduce((sum, [, count]) => sum + count, 0)).toBe(5);
  }
});
