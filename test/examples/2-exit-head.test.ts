/** The answer to the exercise of examples/learn/2-exit-head.mjs. */
import { expect, it } from "vitest";
import { openSotu, program } from "./support.js";

const { speeches } = await program("sotu");
const { agreement } = await program("2-exit-head");

it("a head after block 9 agrees more often than one after block 3, and has less to learn", async () => {
  const { model } = await openSotu();
  const texts = { train: await speeches("train", 5), held: await speeches("test", 2) };
  const early = await agreement(model, 3, texts);
  const late = await agreement(model, 9, texts);
  expect(late.after).toBeGreaterThan(early.after);
  // The lens is nearly the model's own reading there, so a fit can add little.
  expect(late.before).toBeGreaterThan(early.before);
  expect(late.after - late.before).toBeLessThan(0.1);
});
