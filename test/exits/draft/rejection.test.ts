/** Rejection sampling: golden numbers, and the identity that makes it exact. */
import { between, fc, test } from "../../support/property.js";
import { expect, it } from "vitest";
import { acceptance, residual } from "../../../src/exits/draft/rejection.js";
import { sumOf } from "../../support/lists.js";

const q = Float64Array.of(0.1, 0.6, 0.3);
const p = Float64Array.of(0.5, 0.3, 0.2);
const total = (values: Float64Array) => sumOf(values);

it("golden: drafts from [.1, .6, .3] for target [.5, .3, .2] are accepted at 0.6, or become token 0", () => {
  expect(total(q.map((share, x) => share * acceptance(p, q, x)))).toBeCloseTo(0.6, 15);
  expect(Array.from(residual(p, q))).toEqual([1, 0, 0]);
});

const distribution = fc
  .array(between(0, 20), { minLength: 5, maxLength: 5 })
  .filter((weights) => weights.some((weight) => weight > 0))
  .map((weights) => Float64Array.from(weights, (weight) => weight / sumOf(weights)));
test.prop([distribution, distribution])(
  "accepted drafts and replacements together have the target distribution, whatever the draft's",
  (target, draft) => {
    const accepted = draft.map((share, x) => (share === 0 ? 0 : share * acceptance(target, draft, x)));
    const rejected = 1 - total(accepted);
    const replaced = residual(target, draft);
    target.forEach((share, x) => expect(accepted[x]! + rejected * replaced[x]!).toBeCloseTo(share, 12));
  },
);
