/** Look-ahead heads: taught on text, stored beside the exits, asked while their drafts pay. */
import { attachHeads, createPolicy, generate, serializeHeads, trainHeads } from "early-exits";
import { parseSafetensors, Tensor } from "early-exits/tensor";
import { integerValues, roundToIntegers } from "../../../src/tensor/integer-rows.js";
import { cachedBatches, fitMaps, fitPreviews, measureDrafts, recordHidden } from "early-exits/exits";
import { expect, it } from "vitest";
import { freeRows } from "../../../lab/check-lossless.js";
import { growingCosts } from "../../../src/exits/cost/unit-costs.js";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { aheadPlan } from "../../../src/exits/draft/ahead-plan.js";
import { repetitionIn } from "../../../src/exits/draft/repetition.js";
import { expectCode } from "../../support/expect-code.js";
import { finish } from "../../support/lossless.js";
import { memoryStore } from "../../support/memory-store.js";
import { sumOf, times } from "../../support/lists.js";
import { randomIds, reread, smallModel } from "../../support/models.js";

it("learns the model's second tokens, is stored beside the exits, and drafts without changing text", async () => {
  const model = await smallModel({ gain: 2 });
  const exits = { exits: [2], kind: "linear" } as const;
  const heads = attachHeads(model, { ...exits, ahead: { rank: 16, candidates: 8 } });
  expect(await heads.hash()).toBe(await attachHeads(model, exits).hash()); // certificates are of the exits
  const options = { maxNewTokens: 20, stopAtEndOfText: false };
  const documents = await Promise.all(
    times(24, async (i) => [
      ...randomIds(4, 61, i),
      ...(await finish(generate(model, randomIds(4, 61, i), options))).ids,
    ]),
  );
  await fitMaps(heads, documents);
  await fitPreviews(heads, documents);
  const fitted = await measureDrafts(heads, documents);
  await trainHeads(heads, documents, { steps: 60, learningRate: 3e-3 });
  const trained = await measureDrafts(heads, documents);
  expect(trained.acceptance).toBeGreaterThan(Math.max(0.5, fitted.acceptance));
  expect(trained.confidence.at(-1)!.acceptance).toBeGreaterThan(trained.confidence[0]!.acceptance);

  const { again } = await reread(heads);
  expect(again.ahead!.confidence).toEqual(trained.confidence);
  for (const source of [again, model]) {
    const run = generate(source, randomIds(4, 61, 3), { ...options, lossless: { costs: freeRows } });
    const { ids, rounds, accepted, meanAcceptanceLength, roundsByAccepted } = await finish(run);
    expect(ids).toEqual(documents[3]!.slice(4));
    expect(accepted).toBeGreaterThan(4);
    expect(meanAcceptanceLength).toBeCloseTo(20 / rounds, 12);
    expect(sumOf(roundsByAccepted, (rounds, drafts) => rounds * drafts)).toBe(accepted);
  }
  const others = generate(again, [1], { policy: { ...createPolicy(again, 1), headsHash: "" }, lossless: true });
  await expectCode(finish(others), "policy-heads");
});

it("is stored in int8 where that holds its values", async () => {
  const heads = attachHeads(await smallModel(), { exits: [2], ahead: true });
  const { weights: own } = heads.ahead!;
  const { up } = own.tensors as { readonly up: Tensor };
  const values = integerValues(roundToIntegers(await up.read(), up.shape[1]!, "int8"));
  own.set({ ...own.tensors, up: Tensor.from(up.device, values, up.shape) });
  const { again, weights } = await reread(heads);
  expect(parseSafetensors(weights).info("exits.ahead.up").dtype).toBe("I8");
  expect(await again.ahead!.weights.tensors["up"]!.read()).toEqual(values);
});

it.each([{ preview: undefined }, { confidence: [] }])(
  "is refused as a damaged file may have it: %o",
  async (change) => {
    const model = await smallModel();
    const { description, weights } = await serializeHeads(attachHeads(model, { exits: [2], ahead: true }));
    const damaged = { ...description, ahead: { ...description.ahead!, ...change } };
    await expectCode(deserializeHeads(model, damaged, weights), "heads-format");
  },
);

it("runs while drafts pay: the surest longest; it rests after failures, and tries again later", () => {
  const levels = [
    { margin: 0, acceptance: 0.1 },
    { margin: 2, acceptance: 0.9 },
  ];
  const costs = { block: growingCosts(1, 0.25), finalHead: growingCosts(1, 0.25), head: 0.5 };
  const plan = aheadPlan(12, costs, levels);
  expect([1, 9, 6, 3, 2].map((length) => plan.takeRepetition(length))).toEqual([false, true, true, true, false]);
  expect(plan.more(3)).toBe(false);
  plan.endRound([0, 0, 0], 3);
  plan.beginRound(8, 0);
  expect(plan.takeRepetition(2)).toBe(false); // beside other texts, a row takes more of a token
  expect([1.9, 2].map((margin) => plan.takeGuess(margin))).toEqual([false, true]);
  const looks = times(400, (length) => {
    plan.beginRound(1, length);
    const asked = plan.asks();
    plan.endRound(asked && plan.takeGuess(3) ? [0] : [], 0);
    return asked;
  });
  expect(looks.lastIndexOf(true)).toBeGreaterThan(looks.indexOf(false));
  expect(looks.filter(Boolean).length).toBeLessThan(120);
});

it.each([
  [[5, 1, 2, 3, 9, 2, 3], 2, 9],
  [[1, 2, 7, 1, 2, 8, 1, 2], 2, 8],
  [times(40, () => 4), 16, 4],
  [[1], 0, 0],
])("repetitionIn(%o): the longest, of equals the latest", (ids, length, next) => {
  expect(repetitionIn(ids)).toEqual({ length, next });
});

it("is refused without one, and on states whose order is not known", async () => {
  const model = await smallModel();
  const document = randomIds(9, 61, 1);
  await expectCode(measureDrafts(attachHeads(model), [document]), "draft-head");
  const heads = attachHeads(model, { ahead: true });
  await expectCode(measureDrafts(heads, [[1, 2]]), "draft-text");
  const store = memoryStore();
  await recordHidden(model, [document], heads.inputs, store);
  await expectCode(fitMaps(heads, await cachedBatches(model, heads.inputs, store)), "batch-order");
});
