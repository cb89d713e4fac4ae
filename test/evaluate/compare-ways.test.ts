/** compareWays: ratios to the first way, agreement with the full model, interleaved runs within a budget. */
import { attachHeads, createPolicy } from "early-exits";
import { compareWays, type Way } from "early-exits/evaluate";
import { type CompareEvent } from "../../src/evaluate/compare-ways.js";
import { createDevice } from "early-exits/node";
import { expect, it } from "vitest";
import { smallByteModel } from "../support/models.js";

const model = await smallByteModel();
const heads = attachHeads(model, { exits: [1, 2] });
const prompts = [
  [72, 105],
  [84, 104, 101],
];
const ways: Way[] = [
  { name: "plain", options: {} },
  { name: "first exit", options: { policy: createPolicy(heads, ["always", "never"], { score: "margin" }) } },
  { name: "lossless", options: { policy: createPolicy(heads, [0.1, 0.1], { score: "margin" }), lossless: true } },
];

/** A clock that advances by `tick` milliseconds when it is read. */
function clock(tick: number) {
  let time = 0;
  return () => (time += tick);
}

it("the first way is the baseline, and lossless decoding emits the same tokens", async () => {
  const options = { runs: 5, maxNewTokens: 6, budget: 0 };
  const { runs, results, summaries } = await compareWays(heads, ways, prompts, options);
  expect(runs).toBe(5);
  expect(summaries.map((one) => one.length)).toEqual([5, 5, 5]);
  const [plain, first, lossless] = results;
  expect(plain).toMatchObject({ name: "plain", agreement: 1, identical: true, meanDepth: model.config.numLayers });
  expect(plain!.ratio).toEqual({ median: 1, low: 1, paired: 1, high: 1 });
  expect(first).toMatchObject({ name: "first exit", meanDepth: 1 });
  const [least, middle, most] = summaries[1]!
    .map(({ tokensPerSecond }, run) => tokensPerSecond / summaries[0]![run]!.tokensPerSecond)
    .toSorted((a, b) => a - b)
    .slice(1, 4);
  expect(first!.ratio).toMatchObject({ low: least, paired: middle, high: most });
  expect(first!.blocks).toBeLessThan(plain!.blocks);
  expect(lossless).toMatchObject({ agreement: 1, identical: true });
});

it("runs as often as asked within the budget, at least five times, and reports every run of a way", async () => {
  const runsWithin = async (budget: number) => {
    const events: CompareEvent[] = [];
    const { runs } = await compareWays(heads, ways.slice(0, 2), prompts, {
      runs: 7,
      maxNewTokens: 2,
      budget,
      now: clock(20_000), // a slow device: no runs beyond those asked for
      onRun: (event) => events.push(event),
    });
    return { runs, events };
  };
  expect((await runsWithin(1)).runs).toBe(5);
  const { runs, events } = await runsWithin(Infinity);
  expect(runs).toBe(7);
  expect(events.length).toBe(2 + 2 * 7); // the warm-up first
  expect(events.at(-1)).toEqual({ done: 7, total: 7 });
});

it.each([{ temperature: 0.8 }, { judge: false }])("agreement is not measured with %o", async (setting) => {
  const options = { runs: 5, maxNewTokens: 2, budget: 0, ...setting };
  const { results } = await compareWays(heads, ways.slice(0, 1), prompts, options);
  expect(results[0]!.agreement).toBeNaN();
});

it("a way may have an unembedding of its own; afterwards the model finds tokens as before", async () => {
  const screening = await smallByteModel({ device: await createDevice("wasm") });
  screening.setUnembedding("screened");
  const own = attachHeads(screening, { exits: [1, 2] });
  const both: Way[] = [
    { name: "screened", options: {} },
    { name: "full", options: {}, unembedding: "full" },
  ];
  const options = { runs: 5, maxNewTokens: 6, budget: 0 };
  const { results, summaries } = await compareWays(own, both, prompts, options);
  expect(results.map(({ identical }) => identical)).toEqual([true, true]);
  const screenedIn = summaries.map((runs) => runs.map(({ ledger }) => ledger.decode.screenedHeads > 0));
  expect(screenedIn).toEqual([Array(5).fill(true), Array(5).fill(false)]);
  expect(screening.unembedding).toBe("screened");
  const aborted = compareWays(own, both.slice(1), prompts, {
    ...options,
    signal: AbortSignal.abort(new Error("stop")),
  });
  await expect(aborted).rejects.toThrow("stop");
  expect(screening.unembedding).toBe("screened");
});
