import { expect, it } from "vitest";
import { keptAccuracy } from "../../lab/kept/kept-accuracy.js";
import { times } from "../support/lists.js";

const plain = times(100, (i) => i < 60);
const worse = plain.map((right, i) => (i < 10 ? false : i === 70 ? true : right));

it("is compared item by item", () => {
  const [first, second] = keptAccuracy([plain, worse]);
  expect(first).toMatchObject({ difference: { value: 0, low: 0, high: 0 }, gained: 0, lost: 0 });
  expect(second).toMatchObject({ gained: 1, lost: 10 });
  expect(second!.accuracy.value).toBeCloseTo(0.51, 12);
  expect(second!.difference.value).toBeCloseTo(-0.09, 12);
  expect(second!.difference.high).toBeLessThan(0);
});
