/** The answer to the exercise of examples/learn/7-online-thresholds.mjs. */
import { fc, real, test } from "../support/property.js";
import { createPolicy, generate } from "early-exits";
import { expect, it } from "vitest";
import { openSotu, program } from "./support.js";

const { finish } = await program("sotu");
const { begin, bound, recalibration, step } = await program("7-online-thresholds");

const share = real(0.001, 0.6);
const rate = real(0.001, 1);
const first = real(0, 1);
test.prop([share, rate, first, fc.array(fc.boolean(), { minLength: 1, maxLength: 400 })])(
  "the mean error of ANY sequence stays within the bound, if a level <= 0 permits no error",
  (target, pace, start, wishes) => {
    let state = begin({ target, rate: pace, first: start });
    for (const wish of wishes) {
      state = step(state, Number(state.level > 0 && wish)); // the adversary errs whenever it is permitted to
      expect(state.errors / state.steps).toBeLessThanOrEqual(bound(state) + 1e-12);
    }
  },
);

it("the bound is nearly reached in a worst case, and broken if a level <= 0 permits errors", () => {
  let lawful = begin({ target: 0.1, rate: 0.01, first: 1 });
  let lawless = begin({ target: 0.1, rate: 0.01, first: 1 });
  for (let t = 0; t < 300; t++) {
    lawful = step(lawful, Number(lawful.level > 0));
    lawless = step(lawless, 1);
  }
  expect(lawful.errors / lawful.steps).toBeGreaterThan(0.9 * bound(lawful));
  expect(lawless.errors / lawless.steps).toBeGreaterThan(bound(lawless));
});

it("rejected drafts stay within the bound while text is written, and the text stays the full model's", async () => {
  const { heads } = await openSotu();
  const policy = createPolicy(heads, "always", { score: "margin", fill: "shared" });
  const observer = recalibration(heads.depths.length, { target: 0.1, rate: 0.1, first: 0.9 });
  const prompt = "The people of the United States";
  const plain = { maxNewTokens: 48, stopAtEndOfText: false };
  const online = await finish(generate(heads, prompt, { ...plain, policy, lossless: true, observer }));
  expect(online.ids).toEqual((await finish(generate(heads, prompt, plain))).ids);
  const state = observer.state();
  expect(state.errors).toBeGreaterThan(0);
  expect(state.steps).toBe(40); // repetitions are no outcomes
  expect(state.errors / state.steps).toBeLessThanOrEqual(bound(state));
});
