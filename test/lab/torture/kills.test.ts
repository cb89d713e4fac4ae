/** The short form of `npm run torture`: commands that die at their first writes go on, and their results are whole. */
import { expect, it } from "vitest";
import { killCommands } from "../../../lab/torture/commands/kills.js";
import { sumOf } from "../../support/lists.js";

it("whatever the write at which commands die, they go on to the same result and leave no temporary file", async () => {
  const { kills, outcomes } = await killCommands({ kills: 15 });
  expect(sumOf(Object.values(outcomes))).toBe(kills);
  expect(Object.keys(outcomes).length).toBeGreaterThan(3);
});
