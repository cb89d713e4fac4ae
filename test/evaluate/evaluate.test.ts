/**
 * Whole tasks: on a small model every metric equals a brute-force computation; the report does not depend on the batch
 * size; differences are paired.
 */
import { mean } from "d3-array";
import { attachHeads, createPolicy, evaluate, type Evaluation } from "early-exits";
import type { MetricName, TaskItem } from "early-exits/evaluate";
import { describe, expect, it } from "vitest";
import { bootstrap } from "../../src/evaluate/metrics.js";
import { createRng } from "../../src/tensor/rng.js";
import { expectCode } from "../support/expect-code.js";
import { giveProjections, smallByteModel, smallModel } from "../support/models.js";
import { devicesHere } from "../support/devices.js";
import { sumOf, times } from "../support/lists.js";

const { wasm: device } = await devicesHere();
const model = await smallByteModel({ device });
const heads = await giveProjections(attachHeads(model, { exits: [1, 2, 3] }));
const text = "Pêches, Äpfel and pears: every item of this little task was written for the test.";
const words = text.split(" ");
const choices = times(12, (i) => ({
  kind: "multiple-choice" as const,
  gold: i % 3,
  choices: [0, 1, 2].map((c) => ({
    context: words.slice(i % 5, 2 + (i % 7)).join(" "),
    continuation: words.slice((3 * i + 5 * c) % 11, ((3 * i + 5 * c) % 11) + 1 + c).join(" "),
  })),
}));
const lastWords = words
  .slice(2, 10)
  .map((continuation, i) => ({ kind: "lambada" as const, context: words.slice(0, i + 2).join(" "), continuation }));
const texts = [text, `${text} ${text}`, "short"].map((each) => ({ kind: "perplexity" as const, text: each }));
const ids = (of: string) => Array.from(new TextEncoder().encode(of)); // token ids are bytes

/**
 * Returns Σ log p of the continuation tokens after the whole prefix, by one forward pass per token and in float64, and
 * whether all of them are the argmax.
 */
async function brute(prefix: readonly number[], continuation: readonly number[], limit = 96) {
  const all = [...prefix, ...continuation];
  let sum = 0;
  let greedy = true;
  for (let at = prefix.length; at < all.length; at++) {
    const input = all.slice(Math.max(0, all.length - 1 - limit), at);
    const row = Float64Array.from((await model.logits(input)).subarray((input.length - 1) * 257));
    const max = Math.max(...row);
    sum += row[all[at]!]! - max - Math.log(sumOf(row, (z) => Math.exp(z - max)));
    greedy &&= row.indexOf(max) === all[at];
  }
  return { sum, greedy };
}
const valueOf = ({ ways }: Evaluation, name: MetricName, way = 0) => ways[way]!.metrics[name]!.value;

describe("with exits off", () => {
  it("acc and acc_norm are how often the likeliest choice is right, by sum and per byte", async () => {
    const right: [number, number][] = [];
    for (const item of choices) {
      const sums = await Promise.all(
        item.choices.map(
          async ({ context, continuation }) =>
            (await brute(context === "" ? [256] : ids(context), ids(` ${continuation}`))).sum,
        ),
      );
      const best = (values: number[]) => values.indexOf(Math.max(...values));
      right.push([
        Number(best(sums) === item.gold),
        Number(best(sums.map((sum, c) => sum / ids(item.choices[c]!.continuation).length)) === item.gold),
      ]);
    }
    const evaluation = await evaluate(model, choices);
    expect(evaluation).toMatchObject({
      kind: "multiple-choice",
      items: 12,
      truncated: 0,
      headsHash: null,
      backend: "wasm",
      ways: [{ policy: null, agreement: 1, meanDepth: 4 }],
    });
    expect(valueOf(evaluation, "acc")).toBeCloseTo(mean(right.map(([acc]) => acc))!, 12);
    expect(valueOf(evaluation, "acc_norm")).toBeCloseTo(mean(right.map(([, norm]) => norm))!, 12);
    // otherwise the test could not distinguish them
    expect(right.map(([acc]) => acc)).not.toEqual(right.map(([, norm]) => norm));
  });

  it("lambada's accuracy is greedy prediction of the last word, and its perplexity is per whole word", async () => {
    const found = await Promise.all(
      lastWords.map(({ context, continuation }) => brute(ids(context), ids(` ${continuation}`))),
    );
    const evaluation = await evaluate(model, lastWords);
    expect(valueOf(evaluation, "acc")).toBe(mean(found.map((each) => Number(each.greedy))));
    expect(valueOf(evaluation, "perplexity") / Math.exp(-mean(found.map((each) => each.sum))!)).toBeCloseTo(1, 4);
    expect(evaluation.tokens).toBe(lastWords.reduce((sum, { continuation }) => sum + ids(continuation).length + 1, 0));
  });

  it("rolling perplexity is per token, word and byte over all windows", async () => {
    const limit = 20;
    let sum = 0;
    let tokens = 0;
    let wordCount = 0;
    for (const item of texts) {
      const all = ids(item.text);
      for (let begin = 0; begin < all.length; begin += limit) {
        const end = Math.min(all.length, begin + limit);
        sum += (await brute(begin === 0 ? [256] : all.slice(0, begin), all.slice(begin, end), limit)).sum;
      }
      tokens += all.length;
      wordCount += item.text.split(" ").length;
    }
    const evaluation = await evaluate(model, texts, { maxLength: limit });
    expect(evaluation.tokens).toBe(tokens);
    for (const [name, expected] of [
      ["token_perplexity", Math.exp(-sum / tokens)],
      ["word_perplexity", Math.exp(-sum / wordCount)],
      ["byte_perplexity", Math.exp(-sum / tokens)],
      ["bits_per_byte", -sum / tokens / Math.log(2)],
    ] as const) {
      expect(valueOf(evaluation, name) / expected, name).toBeCloseTo(1, 4);
    }
  });
});

describe("the report", () => {
  const policies = [
    createPolicy(heads, "never", { fill: "project" }),
    createPolicy(heads, ["never", "always", "never"]),
    createPolicy(heads, ["always", "never", "never"], { fill: "project" }),
  ];

  it.each([
    ["multiple-choice", choices],
    ["lambada", lastWords],
    ["perplexity", texts],
  ] as const)("of a %s task depends neither on the batch size nor on streaming", async (_, items) => {
    const whole = await evaluate(heads, items, { policies, maxLength: 40 });
    const events: { items: number; tokens: number }[] = [];
    async function* stream(): AsyncGenerator<TaskItem, void, undefined> {
      for (const item of items) yield await Promise.resolve(item);
    }
    const pieces = await evaluate(heads, stream(), {
      policies,
      maxLength: 40,
      batchTokens: 1,
      onBatch: (event) => events.push(event),
    });
    expect(pieces).toEqual(whole);
    expect(JSON.parse(JSON.stringify(whole))).toEqual(whole);
    expect(events.length).toBeGreaterThan(items.length - 1);
    expect(events.at(-1)).toEqual({ items: items.length, tokens: whole.tokens });
  });

  it("shows that nothing is lost without exits, and that depth and agreement decrease with them", async () => {
    const { ways } = await evaluate(heads, texts, { policies });
    const [off, never, second, first] = ways;
    expect(never).toEqual({ ...off, policy: policies[0] });
    expect(off!.difference.bits_per_byte).toEqual({ value: 0, low: 0, high: 0 });
    expect([second!.meanDepth, first!.meanDepth]).toEqual([2, 1]);
    expect(first!.agreement).toBeLessThan(1);
    const { value, low, high } = first!.difference.bits_per_byte!;
    expect(value).toBeCloseTo(first!.metrics.bits_per_byte!.value - off!.metrics.bits_per_byte!.value, 12);
    expect([low <= value, value <= high, low < high]).toEqual([true, true, true]);
  });

  it("is reproducible from the seed, and stops at the limit", async () => {
    const report = await evaluate(heads, choices, { policies, limit: 5, seed: 3, resamples: 50 });
    expect(report.items).toBe(5);
    expect(await evaluate(heads, choices.slice(0, 5), { policies, seed: 3, resamples: 50 })).toEqual(report);
    const other = await evaluate(heads, lastWords, { seed: 4 });
    expect(other.ways[0]!.metrics).not.toEqual((await evaluate(heads, lastWords, { seed: 5 })).ways[0]!.metrics);
  });
});

it("bootstrap intervals cover the truth about as often as stated, and differences are paired", () => {
  const items = 100;
  const truth = 0.7;
  const trials = 200;
  let covered = 0;
  for (let trial = 0; trial < trials; trial++) {
    const rng = createRng(trial);
    const top = times(items, () => Number(rng.uniform() < truth));
    const columns = [top, top].map((each) => ({ top: each, bottom: top.map(() => 1) }));
    const better = columns.map(({ top: each, bottom }) => ({
      top: each.map((value, i) => (i === 0 ? 1 : value)),
      bottom,
    }));
    const [way, improved] = bootstrap("multiple-choice", [columns, better], {
      resamples: 200,
      level: 0.95,
      rng: rng.fork("resample"),
    });
    const { low, high } = way!.metrics.acc!;
    covered += Number(low <= truth && truth <= high);
    const { low: least, high: most } = improved!.difference.acc!;
    expect(least).toBeGreaterThanOrEqual(0); // one item better, none worse
    expect(most).toBeLessThan(0.1);
  }
  // The percentile interval of 100 items is slightly too short.
  expect(covered / trials).toBeGreaterThan(0.95 - 3 * Math.sqrt((0.95 * 0.05) / trials) - 0.02);
});

describe("evaluate rejects", () => {
  it.each<[string, () => Promise<unknown>, string, string]>([
    ["an empty task", () => evaluate(model, []), "task-empty", "the task has no items"],
    [
      "items of two kinds",
      () => evaluate(model, [choices[0]!, texts[0]!]),
      "task-mixed",
      "item 2 is of kind perplexity, those before of kind multiple-choice",
    ],
    [
      "a continuation longer than the context",
      () => evaluate(model, [lastWords[0]!, { kind: "lambada", context: "a", continuation: "b".repeat(96) }]),
      "task-length",
      "item 2: a continuation of 97 tokens exceeds the limit of 96",
    ],
    ["a limit of 0", () => evaluate(model, texts, { limit: 0 }), "option-range", "evaluate: limit"],
    [
      "a length beyond the model's",
      () => evaluate(model, texts, { maxLength: 97 }),
      "option-range",
      "evaluate: maxLength: expected an integer in [1, 96], found 97",
    ],
    [
      "policies without heads",
      () => evaluate(model, texts, { policies: [createPolicy(heads, "never")] }),
      "policy-heads",
      "pass the heads instead of the model",
    ],
    [
      "a model without a tokenizer",
      async () => evaluate(await smallModel(), texts),
      "tokenizer-missing",
      "without a tokenizer",
    ],
    [
      "a policy of other heads",
      () => evaluate(heads, texts, { policies: [createPolicy(attachHeads(model, { exits: [2] }), "never")] }),
      "policy-depths",
      "use the heads it was calibrated for",
    ],
  ])("%s", (_, run, code, message) => expectCode(run, code, message));

  it.each([{ gold: 7 }, { choices: [{ context: "a" }] }, { kind: "perplexity" }])("an item with %j", (part) =>
    expect(evaluate(model, [{ ...choices[0]!, ...part } as TaskItem])).rejects.toThrow(/item 1 is no item of kind/),
  );

  it("an aborted run", () =>
    expect(evaluate(heads, texts, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough"));
});
