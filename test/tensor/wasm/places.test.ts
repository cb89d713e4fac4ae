/** At how many places W is read, by a clock of the test's own. */
import { expect, it } from "vitest";
import { Places } from "../../../src/tensor/wasm/places.js";
import { times } from "../../support/lists.js";

let now = 0;
let held = 1e9;
const places = new Places(
  () => now,
  () => held,
);
const next = (kind: number, n: number, w = 0) => places.next({ kind, w, rows: 1, n, k: 512 } as never);

it("all ways are tried, and for each size the places chosen that take least", () => {
  const reads = times(800, (i) => {
    const size = i % 4;
    const chosen = next(0, 512 << size, 4096 * (i % 28));
    now += i % 9 === 8 ? 80 : chosen === size + 1 ? 1 : size + 1.2; // now and then, the thread is suspended
    places.done();
    return chosen;
  });
  expect(reads.slice(600)).toEqual(times(200, (i) => (i % 4) + 1));
});

it("of one place and two the faster is chosen, and more only if they are faster by more than a hair", () => {
  const choose = () => {
    const way = next(1, 512);
    now += 97 + (way % 4); // 98, 99, 100, 97
    places.done();
    return way;
  };
  expect(times(200, choose)[199]).toBe(1);
});

it("small matrices have one place where all that the device holds fits the caches, otherwise two", () => {
  expect(next(0, 511)).toBe(2);
  held = 1e7;
  expect(next(0, 511)).toBe(1);
});
