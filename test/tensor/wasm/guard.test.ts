/** The guard against workers that cost more time than they save. */
import { expect, it } from "vitest";
import { Guard } from "../../../src/tensor/wasm/guard.js";

it("lets workers help while they save time, and pauses them for longer and longer if they cost time", () => {
  const play = (sharedMs: (call: number) => number): number => {
    const guard = new Guard(1);
    let helped = 0;
    for (let call = 0; call < 20_000; call++) {
      if (guard.allows(0, 100)) {
        guard.helped(sharedMs(call));
        helped++;
      } else guard.alone(0.1);
    }
    return helped / 20_000;
  };
  expect(play(() => 0.06)).toBeGreaterThan(0.98);
  expect(play(() => 4)).toBeLessThan(0.002);
  expect(play((call) => (call % 10 === 0 ? 4 : 0.06))).toBeLessThan(0.02);
  // Waking workers may take long once in a while: a single slow call is not a loss.
  let last = -Infinity;
  expect(
    play((call) => {
      const woken = call - last > 10;
      last = call;
      return woken ? 2.5 : 0.06;
    }),
  ).toBeGreaterThan(0.9);
});

it("keeps workers away from a kind of work that they slow down a little, and not from one that they speed up", () => {
  const guard = new Guard(2);
  const helped = [0, 0];
  for (let call = 0; call < 40_000; call++) {
    const kind = call % 20 === 0 ? 1 : 0; // long reads, which gain nothing, and now and then something else
    if (guard.allows(kind, 100)) {
      guard.helped(kind === 0 ? 0.11 : 0.06);
      helped[kind]!++;
    } else guard.alone(0.1);
  }
  expect(helped[0]! / 38_000).toBeLessThan(0.2);
  expect(helped[1]! / 2000).toBeGreaterThan(0.98);
});

it("learns about kinds of work whose first calls a coarse clock could not time", () => {
  const guard = new Guard(2);
  const helped = [0, 0];
  for (let call = 0; call < 40_000; call++) {
    const kind = call % 2; // 1 gains, so that all work together does
    const timed = call >= 1000;
    if (guard.allows(kind, 100)) {
      guard.helped(timed ? [0.11, 0.06][kind]! : 0);
      helped[kind]! += Number(timed);
    } else guard.alone(timed ? 0.1 : 0);
  }
  expect(helped[0]! / 19_500).toBeLessThan(0.2);
  expect(helped[1]! / 19_500).toBeGreaterThan(0.9);
});
