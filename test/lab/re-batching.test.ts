/** Ways of batching rows again after exits: each gives every text the tokens of generate, however rows are grouped. */
import { attachHeads, createPolicy, type ExitHeads, generateBatch } from "early-exits";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { compareReBatching, readTogether, reBatchings } from "../../lab/serving/index.js";
import { randomIds, smallByteModel } from "../support/models.js";

const PROMPTS = Array.from({ length: 5 }, (_, p) => randomIds(3 + 2 * p, 257, p));
const TOKENS = 12;
let heads: ExitHeads;
beforeAll(async () => {
  heads = attachHeads(await smallByteModel(), { exits: [1, 2, 4], seed: 1 });
});
afterEach(() => vi.useRealTimers());

describe.each([
  { exits: "exits below the last block", thresholds: [0.3, 0.2, "never"] as const, depths: [1, 2, 4] },
  { exits: "a last exit, too", thresholds: ["never", 0.2, 0.1] as const, depths: [2, 4] },
  { exits: "no exit that is ever taken", thresholds: ["never", "never", "never"] as const, depths: [4] },
])("$exits", ({ thresholds, depths }) => {
  const policy = () => createPolicy(heads, thresholds, { score: "margin", fill: "lazy" });

  it("has tokens of these depths", async () => {
    const run = generateBatch(heads, PROMPTS, { policy: policy(), maxNewTokens: TOKENS, stopAtEndOfText: false });
    const found = new Set<number>();
    for await (const { depth } of run) found.add(depth);
    expect([...found].sort((a, b) => a - b)).toEqual(depths);
  });

  it.each(reBatchings.map(({ name }, i) => [name, i] as const))("%s: the tokens of generate", async (_name, i) => {
    const options = { policy: policy(), ways: [reBatchings[i]!], tokens: TOKENS, rounds: 1 };
    const { ways } = await compareReBatching(heads, PROMPTS, options);
    expect(ways[0]!.different).toBe(0);
    expect(ways[0]!.rates).toHaveLength(1);
  });
});

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
