/** The answer to the exercise of examples/learn/2-exit-head.mjs. */
import { expect, it } from "vitest";
import { program } from "./support.js";

const { openModel, speeches } = await program("sotu");
const { agreement } = await program("2-exit-head");

it("a fitted head reads block 3 better than the lens; after block 5 there is less to learn", async () => {
  const model = await openModel("sotu-6");
  const texts = { train: await speeches("train", 20), held: await speeches("test", 4) };
  const early = await agreement(model, 3, texts);
  const late = await agreement(model, 5, texts);
  expect(early.after).toBeGreaterThan(early.before + 0.03);
  expect(late.after).toBeGreaterThan(early.after);
  // The lens is nearly the model's own reading there, so a fit can add little.
  expect(late.before).toBeGreaterThan(early.before);
  expect(late.after - late.before).toBeLessThan(early.after - early.before);
});
