import { expect, it } from "vitest";
import type { BatchSource, HiddenBatch } from "../../src/exits/states/batches.js";
import { joinSources } from "../../lab/pretrained/join-sources.js";
import { times } from "../support/lists.js";

/** A source whose batches say where they come from. */
function counted(name: string, batchesPerEpoch: number): BatchSource {
  return { batchesPerEpoch, batch: (step) => Promise.resolve(`${name} ${step}` as unknown as HiddenBatch) };
}

async function read(source: BatchSource, epoch: number) {
  const count = source.batchesPerEpoch!;
  const batches = times(count, (i) => source.batch(epoch * count + i));
  return (await Promise.all(batches)).map(String);
}

it("give every batch of every source once in each epoch", async () => {
  const joined = joinSources([counted("a", 3), counted("b", 5)], 7);
  expect(joined.batchesPerEpoch).toBe(8);
  const first = await read(joined, 0);
  const second = await read(joined, 1);
  expect(first.toSorted()).toEqual(["a 0", "a 1", "a 2", "b 0", "b 1", "b 2", "b 3", "b 4"]);
  expect(second.toSorted()).toEqual(["a 3", "a 4", "a 5", "b 5", "b 6", "b 7", "b 8", "b 9"]);
  expect(second.map((name) => name[0])).not.toEqual(first.map((name) => name[0]));
});

it("take the batches of each source in order, so that it loads every recording once", async () => {
  const steps = await read(joinSources([counted("a", 6), counted("b", 4)], 3), 0);
  for (const name of ["a", "b"]) {
    const own = steps.filter((step) => step.startsWith(name));
    expect(own).toEqual(own.toSorted());
  }
});
