/**
 * vitest's `test` with `test.prop(arbitraries, parameters)(title, run)`: fast-check calls `run` with values that it
 * draws, shrinks what fails, and prints the seed and the path that replay it. (The package @fast-check/vitest does the
 * same but builds its `test` from all orders of vitest's modifiers, three seconds in each process.)
 */
import fc from "fast-check";
import { test as plain } from "vitest";

function prop<Values extends [unknown, ...unknown[]]>(
  arbitraries: { [At in keyof Values]: fc.Arbitrary<Values[At]> },
  parameters?: fc.Parameters<NoInfer<Values>>,
) {
  return (title: string, run: (...values: Values) => unknown) => {
    const property = fc.asyncProperty(...arbitraries, async (...values) => (await run(...values)) !== false);
    plain(title, () => fc.assert(property, parameters));
  };
}

export const test: typeof plain & { readonly prop: typeof prop } = Object.assign(plain, { prop });
export { fc };
export { between, type Drawn, real, threshold } from "./draw.js";
export { casesHere } from "./cases-here.js";
