/** The guard against workers that cost more time than they save. */
import { expect, it } from "vitest";
import { Guard } from "../../../src/tensor/wasm/guard.js";

it("lets workers help while they save time, and pauses them for longer and longer if they cost time", () => {
  const play = (sharedMs: (call: number) => number) => {
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

/** The shares of the calls of two kinds of work in which workers help; alone a call takes 0.1 ms. */
function helpedShares(kindOf: (call: number) => number, sharedMs: readonly number[], timedFrom = 0) {
  const guard = new Guard(2);
  const calls = [0, 0];
  const helped = [0, 0];
  for (let call = 0; call < 40_000; call++) {
    const kind = kindOf(call);
    const timed = call >= timedFrom;
    calls[kind]! += Number(timed);
    if (guard.allows(kind, 100)) {
      guard.helped(timed ? sharedMs[kind]! : 0);
      helped[kind]! += Number(timed);
    } else guard.alone(timed ? 0.1 : 0);
  }
  return helped.map((count, kind) => count / calls[kind]!);
}

it("keeps workers away from a kind of work that they slow down a little, and not from one that they speed up", () => {
  // Long reads, which gain nothing, and now and then something else.
  const [slowed, gained] = helpedShares((call) => (call % 20 === 0 ? 1 : 0), [0.11, 0.06]);
  expect(slowed).toBeLessThan(0.2);
  expect(gained).toBeGreaterThan(0.98);
});

it("learns about kinds of work whose first calls a coarse clock could not time", () => {
  // The second kind gains, so that all work together does.
  const [slowed, gained] = helpedShares((call) => call % 2, [0.11, 0.06], 1000);
  expect(slowed).toBeLessThan(0.2);
  expect(gained).toBeGreaterThan(0.9);
});
