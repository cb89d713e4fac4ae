/**
 * When exits pay. Let a block cost 1, a head h, and the model's own last step u. A token that leaves after d of L
 * blocks costs d + h, any other L + h + u, so if the share c leaves,
 *     cost = c · (d + h) + (1 - c) · (L + h + u)          plain = L + u
 *   node examples/learn/4-break-even.mjs
 *
 * Exercise: solve cost = plain for c. How many tokens must leave at least, if a head costs as much as 2 blocks and d is
 * 3, 6 or 9 of 12? The answer: test/examples/4-break-even.test.ts, which checks it against the library's own plan.
 */
import { pathToFileURL } from "node:url";
import { blockCost, headCost } from "early-exits/exits";
import { openSotu } from "./sotu.mjs";

/** Speed relative to plain decoding, by these costs. */
export function speedup({ blocks, depth, head, last, coverage }) {
  const leaves = depth + head;
  const stays = blocks + head + last;
  return (blocks + last) / (coverage * leaves + (1 - coverage) * stays);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { model } = await openSotu();
  const { config } = model;
  const block = blockCost(config); // multiply-adds per token
  const last = headCost(config, { kind: "dense" }) / block; // the unembedding, in blocks
  console.log(`${config.numLayers} blocks; a dense head and the last step each cost ${last.toFixed(2)} blocks`);
  for (const coverage of [0, 0.1, 0.25, 0.5, 0.75, 1]) {
    const ratios = [3, 6, 9].map((depth) =>
      speedup({ blocks: config.numLayers, depth, head: last, last, coverage }).toFixed(2),
    );
    console.log(`${(100 * coverage).toFixed(0)} % leave: ${ratios.join(", ")} times after block 3, 6, 9`);
  }
}
