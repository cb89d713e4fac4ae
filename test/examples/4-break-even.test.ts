/** The answer to the exercise of examples/learn/4-break-even.mjs. */
import { expect, it } from "vitest";
import { breakEven } from "early-exits/exits";
import { program } from "./support.js";

const { speedup } = await program("4-break-even");

it.for([3, 6, 9])("after block %i, h / (L - d + u) of the tokens must leave: cost = plain, solved for c", (depth) => {
  const costs = { blocks: 12, depth, head: 2, last: 2 };
  const least = costs.head / (costs.blocks - depth + costs.last);
  expect(speedup({ ...costs, coverage: least })).toBeCloseTo(1, 12);
  expect(speedup({ ...costs, coverage: least + 0.01 })).toBeGreaterThan(1);
  const plan = breakEven({
    numLayers: costs.blocks,
    depths: [depth],
    block: [{ rows: 1, cost: 1 }],
    heads: [costs.head],
    finalHead: [{ rows: 1, cost: costs.last }],
    fills: [0],
  });
  expect(plan.coverage).toBeCloseTo(least, 5); // the library searches to within 1e-6
});
