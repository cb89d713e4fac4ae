/** Elementary functions are those of `Math` but for rounding. Their bits on every engine: examples/same-bits.mjs. */
import { test } from "../support/property.js";
import { expect } from "vitest";
import { cosine, exponential, logarithm } from "../../src/model/elementary.js";
import { real } from "../support/draw.js";

/** Two units in the last place of a value of at least 1, and as many for `Math`. */
const ROUNDING = 4 * 2 ** -52;

test.prop([real(-700, 0)])("e^x is that of Math", (x) => {
  expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThanOrEqual(ROUNDING);
});

test.prop([real(-50, 50)])("ln x is that of Math", (power) => {
  const x = 2 ** power;
  expect(Math.abs(logarithm(x) - Math.log(x))).toBeLessThanOrEqual(ROUNDING * Math.max(1, Math.abs(power)));
});

test.prop([real(0, 2 ** 20)])("cos x and sin x are those of Math", (x) => {
  expect(Math.hypot(cosine(x) - Math.cos(x), cosine(x, 3) - Math.sin(x))).toBeLessThanOrEqual(ROUNDING);
});
