/** Clients who ask at the same time: what is counted of their tokens. */
import { afterEach, expect, it, vi } from "vitest";
import { readTogether } from "../../lab/read-together.js";

afterEach(() => vi.useRealTimers());

it("clients who read together count all tokens, and apart those that come after all have begun", async () => {
  vi.useFakeTimers();
  const answer = async function* (first: number): AsyncGenerator<void> {
    await new Promise((resolve) => setTimeout(resolve, first));
    for (;;) {
      yield;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const reading = readTogether(() => [answer(10), answer(25)], 3); // at 10, 20, 30 and 25, 35, 45 ms
  await vi.advanceTimersByTimeAsync(100);
  expect(await reading).toEqual({ writing: (1000 * 3) / 20, whole: (1000 * 6) / 45 });
});
