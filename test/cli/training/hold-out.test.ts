/** Documents that are held out while heads train: a seeded share, and never part of a group. */
import { expect, it } from "vitest";
import type { MarkedDocument } from "early-exits/model";
import { holdOut } from "../../../apps/cli/training/head-data.js";

const recipe = { seed: 3, heldShare: 0.25 };
const documents = (groups: number) =>
  Array.from({ length: 40 }, (_, i) => ({ ids: [i, i + 1], group: `group ${i % groups}` }));
const groupsOf = (part: readonly unknown[]) => new Set((part as readonly MarkedDocument[]).map(({ group }) => group!));

it("holds out whole groups, as many as the share has room for", () => {
  const { train, held } = holdOut(documents(10), recipe);
  expect([held.length, train.length]).toEqual([8, 32]);
  for (const group of groupsOf(held)) expect(groupsOf(train).has(group)).toBe(false);
});

it("treats documents without a group, or each in its own, one by one", () => {
  const alone = documents(40);
  const { held } = holdOut(alone, recipe);
  expect(held).toHaveLength(10);
  const ungrouped = holdOut(
    alone.map(({ ids }) => ids),
    recipe,
  );
  expect(ungrouped.held).toEqual((held as readonly MarkedDocument[]).map(({ ids }) => ids));
});

it("holds out nothing if there are few documents, or all are of one group", () => {
  expect(holdOut(documents(40).slice(0, 19), recipe).held).toEqual([]);
  expect(holdOut(documents(1), recipe).held).toEqual([]);
});
