/** The answer to the exercise of examples/learn/3-threshold.mjs. */
import { expect, it } from "vitest";
import { openSotu, program } from "./support.js";

const { prompts, write } = await program("3-threshold");

it("a threshold that keeps one prompt's text need not keep another's: that takes a certificate", async () => {
  const { heads } = await openSotu();
  const thresholds = ["always", 0.5, 1, 2, 4] as const;
  const sufficient = new Set<number>(); // of each prompt, the first of the thresholds that keeps the text
  for (const prompt of prompts) {
    const full = await write(heads, prompt, "never");
    expect(full.meanDepth).toBe(12);
    let first = 0;
    while (first < thresholds.length && (await write(heads, prompt, thresholds[first]!)).text !== full.text) first++;
    sufficient.add(first);
    if (sufficient.size > 1) break;
  }
  expect(sufficient.size).toBe(2);
  expect((await write(heads, prompts[0]!, "always")).meanDepth).toBe(6); // it leaves at the second exit
});
