/** The short form of `npm run torture`: on slow, full and lying disks commands end in the true result or an error. */
import { expect, it } from "vitest";
import { tortureDisks } from "../../../lab/torture/commands/disks.js";
import { sumOf } from "../../support/lists.js";

const COMMANDS = 6;

it("on a bad disk commands have the true result, or fail with a typed error and no temporary file", async () => {
  const { runs, outcomes } = await tortureDisks({ runs: 3 * COMMANDS, seed: 1 });
  expect(sumOf(Object.values(outcomes))).toBe(runs);
  for (const fault of ["slow", "full", "lying"]) {
    const found = Object.entries(outcomes).filter(([outcome]) => outcome.includes(`${fault} disk`));
    expect(sumOf(found, ([, count]) => count)).toBe(COMMANDS);
  }
});
