/**
 * Thresholds that follow the text: adaptive conformal inference (Gibbs and Candès, 2021). A level falls after every
 * error, rises after every token without one, and says how lax the thresholds are.
 *   level <- min(1, level + rate (target - error))
 *   mean error <= target + (max(first, 1 - first) + rate) / (steps rate)
 * The bound holds for ANY sequence of outcomes, provided that a level <= 0 permits no error. It is about a mean over
 * time, not about the next document. In lossless decoding outcomes are free: a draft that is rejected is an error.
 *   node examples/learn/7-online-thresholds.mjs
 *
 * Exercise: why must nothing leave early at a level <= 0? Permit errors there too, and compare with the bound. The
 * answer: test/examples/7-online-thresholds.test.ts, by an adversary who errs whenever the level permits it.
 */
import { pathToFileURL } from "node:url";
import { createPolicy, generate } from "early-exits";
import { finish, openSotu } from "./sotu.mjs";

export function begin({ target, rate = 0.02, first = target }) {
  return { target, rate, first, level: first, steps: 0, errors: 0 };
}

/** The state after an outcome: 1 for an error, 0 for none. */
export function step(state, error) {
  const level = Math.min(1, state.level + state.rate * (state.target - error));
  return { ...state, level, steps: state.steps + 1, errors: state.errors + error };
}

/** Bound of the mean error of the steps so far. */
export function bound({ target, rate, first, steps }) {
  return target + (Math.max(first, 1 - first) + rate) / (steps * rate);
}

/** An observer of lossless decoding: the margin that a draft needs falls from `strictest`, at level 0, to 0 at 1. */
export function recalibration(exits, options, strictest = 4) {
  let state = begin(options);
  return {
    state: () => state,
    observe(event) {
      if (event.type === "verified") state = step(state, event.agrees ? 0 : 1);
      // A round ends with a token of the full model. Without this step a level <= 0 would never rise again.
      if (event.type === "round") state = step(state, 0);
    },
    thresholds: () => new Array(exits).fill(state.level <= 0 ? "never" : strictest * (1 - state.level)),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { heads } = await openSotu();
  const policy = createPolicy(heads, "always", { score: "margin", fill: "shared" });
  const observer = recalibration(heads.depths.length, { target: 0.1 });
  const options = { policy, lossless: true, observer, maxNewTokens: 200, stopAtEndOfText: false };
  await finish(generate(heads, "The people of the United States", options));
  const { steps, errors, level } = observer.state();
  console.log(`${errors} of ${steps} tokens were rejected drafts; the bound is ${bound(observer.state()).toFixed(2)}`);
  console.log(`the level is ${level.toFixed(2)}, so a draft needs a margin of ${observer.thresholds()[0].toFixed(2)}`);
}
