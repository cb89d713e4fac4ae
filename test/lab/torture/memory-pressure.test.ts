/** The short form of `npm run torture`: requests of random size against a device of fixed memory. */
import { expect, it } from "vitest";
import { pressMemory } from "../../../lab/torture/memory-pressure.js";

it("memory in use is that of what lives, every request that fits succeeds, texts are a fresh device's", async () => {
  const { opened, closed, texts, refused } = await pressMemory({ requests: 300, seed: 1 });
  expect(Math.min(opened, closed, texts, refused)).toBeGreaterThan(5);
});
