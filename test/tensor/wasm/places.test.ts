/** At how many places W is read, by a clock of the test's own. */
import { expect, it } from "vitest";
import { Places } from "../../../src/tensor/wasm/places.js";
import { times } from "../../support/lists.js";

it.each([1, 2, 3, 4])("all ways are tried, and %i places chosen where they take least", (fastest) => {
  let now = 0;
  const places = new Places(() => now);
  const reads = times(200, (i) => {
    const chosen = places.next({ kind: 0, w: 4096 * (i % 7), rows: 1, n: 512, k: 512 } as never);
    now += chosen === fastest ? 1 : i % 9 === 8 ? 80 : 1.2; // now and then, the thread is suspended
    places.done();
    return chosen;
  });
  expect(new Set(reads)).toEqual(new Set([1, 2, 3, 4]));
  expect(new Set(reads.slice(100))).toEqual(new Set([fastest]));
});
