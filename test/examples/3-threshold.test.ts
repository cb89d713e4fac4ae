/** The answer to the exercise of examples/learn/3-threshold.mjs. */
import { expect, it } from "vitest";
import { openSotu, program } from "./support.js";

const { prompts, write } = await program("3-threshold");

it("a threshold that keeps one prompt's text need not keep another's: that takes a certificate", async () => {
  const { heads } = await openSotu();
  const thresholds = ["always", 0.5, 1, 2, 4] as const;
  const sufficient: number[] = []; // by prompt: the first of the thresholds that keeps the text
  for (const prompt of prompts) {
    const full = await write(heads, prompt, "never");
    const texts = await Promise.all(thresholds.map(async (threshold) => write(heads, prompt, threshold)));
    const first = texts.findIndex(({ text }) => text === full.text);
    sufficient.push(first < 0 ? thresholds.length : first);
    expect(texts[0]!.meanDepth).toBe(6); // "always" leaves at the second exit
    expect(full.meanDepth).toBe(12);
  }
  expect(new Set(sufficient).size).toBeGreaterThan(1);
});
