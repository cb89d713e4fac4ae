/** At how many places W is read, by a clock of the test's own. */
import { expect, it } from "vitest";
import { Places } from "../../../src/tensor/wasm/places.js";
import { times } from "../../support/lists.js";

it("all ways are tried, and for each size the places chosen that take least", () => {
  let now = 0;
  const places = new Places(() => now);
  const reads = times(800, (i) => {
    const size = i % 4;
    const chosen = places.next({ kind: 0, w: 4096 * (i % 28), rows: 1, n: 512 << size, k: 512 } as never);
    now += i % 9 === 8 ? 80 : chosen === size + 1 ? 1 : size + 1.2; // now and then, the thread is suspended
    places.done();
    return chosen;
  });
  expect(reads.slice(600)).toEqual(times(200, (i) => (i % 4) + 1));
});

it("places that are faster by a hair, as chance would have it, are not chosen", () => {
  let now = 0;
  const places = new Places(() => now);
  const reads = times(200, () => {
    const chosen = places.next({ kind: 0, w: 0, rows: 1, n: 512, k: 512 } as never);
    now += 1 - 0.01 * chosen;
    places.done();
    return chosen;
  });
  expect(reads.at(-1)).toBe(2);
});
