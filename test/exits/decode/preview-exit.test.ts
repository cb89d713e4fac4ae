/**
 * A preview of the model's unembedding as the last exit, at depth L: decoding with it is its definition, a batch is its
 * sequences alone, a threshold that never fires leaves the plain model's tokens, and it drafts where that pays.
 */
import { between, casesHere, fc, test, threshold } from "../../support/property.js";
import { attachHeads, createPolicy, generateBatch, trainHeads } from "early-exits";
import {
  cachedBatches,
  fitPreviews,
  measureExits,
  type PreviewShape,
  recordHidden,
  type Threshold,
  confidenceAt,
} from "early-exits/exits";
import { Sequence } from "early-exits/model";
import { runTo } from "../../../src/model/advance.js";
import type { WeightDtype } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../support/memory-store.js";
import { giveProjections, once, randomDocuments, randomIds, smallModel } from "../../support/models.js";
import { generated } from "../../support/generated.js";
import { devicesHere } from "../../support/devices.js";
import { times } from "../../support/lists.js";
import { expectCode } from "../../support/expect-code.js";

const devices = await devicesHere();
const documents = randomDocuments(12, 24);
const model = await smallModel();
const L = 4;

/** A linear head and a preview at depth L, fitted to the documents. */
const setups = once(
  async ([device, dtype, shape]: readonly [keyof typeof devices, WeightDtype, Partial<PreviewShape>]) => {
    const model = await smallModel({ device: devices[device], dtype, gain: 4 });
    const unembeddingPreview = { rank: 6, candidates: 5, ...shape };
    const heads = attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview });
    await fitPreviews(heads, documents, { sequenceLength: 24 });
    return { model, heads };
  },
);
const projected = once(async (key: Parameters<typeof setups>[0]) => giveProjections((await setups(key)).heads));
const setup = (device: keyof typeof devices, dtype: WeightDtype, shape: Partial<PreviewShape> = {}) =>
  setups([device, dtype, shape]);

const runs = fc.record({
  device: fc.constantFrom("reference" as const, "wasm" as const),
  dtype: fc.constantFrom<WeightDtype>("float32", "int8", "int4"),
  /** The tokens that the preview lists, if not all; what ranks all. */
  options: fc.constantFrom({}, { tokens: times(30, (i) => 2 * i) }, { first: { rank: 3, candidates: 20 } }),
  prompt: fc.tuple(between(1, 9), fc.nat()).map(([length, seed]) => randomIds(length, 61, seed)),
});
const anyThreshold = threshold(2);

describe("a preview as the last exit", () => {
  test.prop([runs, anyThreshold, anyThreshold], { numRuns: casesHere(25) })(
    "a token is the best candidate where its margin passes, else the full model's",
    async ({ device, dtype, options, prompt }, first, last) => {
      const { model, heads } = await setup(device, dtype, options);
      const policy = createPolicy(heads, [first, last], { score: "margin" });
      const ids = [...prompt];
      for (const { id, depth, exit } of (await generated(heads, prompt, { policy })).tokens) {
        // A pass of its own over the text so far; the fill is lazy, so no exit before has changed a state.
        const sequence = new Sequence(model);
        sequence.append(...ids);
        const bestAt = async (index: number) => {
          const head = heads.heads[index]!;
          runTo(sequence, head.depth);
          const logits = await head.logits(sequence.hidden(ids.length - 1));
          const all = await head.allLogits(logits);
          const { argmax, top1, top2 } = confidenceAt(await head.stats(logits), 0);
          return { argmax, margin: top1 - top2, all };
        };
        const passes = (margin: number, at: Threshold) => at === "always" || (at !== "never" && margin >= at);
        const early = await bestAt(0);
        const preview = await bestAt(1);
        const full = preview.all.reduce((best, value, i) => (value > preview.all[best]! ? i : best), 0);
        const expected = passes(early.margin, first)
          ? { id: early.argmax, depth: 2, exit: 0 }
          : passes(preview.margin, last)
            ? { id: preview.argmax, depth: L, exit: 1 }
            : { id: full, depth: L, exit: undefined };
        expect({ id, depth, exit }).toEqual(expected);
        ids.push(id);
      }
    },
  );

  test.prop([runs, anyThreshold, anyThreshold, fc.constantFrom("lazy", "project")], { numRuns: casesHere(10) })(
    "sequences of a batch get the tokens that they get alone",
    async ({ device, dtype, options: shape, prompt }, first, last, fill) => {
      const { heads } = await setup(device, dtype, shape);
      if (fill === "project") await projected([device, dtype, shape]);
      const policy = createPolicy(heads, [first, last], { score: "margin", fill: fill as "lazy" });
      const prompts = [prompt, randomIds(4, 61, 5), randomIds(7, 61, 6)];
      const alone = await Promise.all(prompts.map(async (each) => generated(heads, each, { policy })));
      const together = prompts.map((): object[] => []);
      const options = { policy, maxNewTokens: 12, stopAtEndOfText: false };
      for await (const { prompt: index, id, depth, exit, score } of generateBatch(heads, prompts, options)) {
        together[index]!.push({ id, depth, exit, score });
      }
      expect(together).toEqual(
        alone.map(({ tokens }) => tokens.map(({ id, depth, exit, score }) => ({ id, depth, exit, score }))),
      );
    },
  );

  it("takes the place of the unembedding in what is counted", async () => {
    const { heads } = await setup("wasm", "int8");
    const count = async (last: Threshold) => {
      const policy = createPolicy(heads, ["never", last], { score: "margin" });
      const { decode, headsByExit } = (await generated(heads, [1, 2, 3], { policy, drafts: false })).summary.ledger;
      return { finalHeads: decode.finalHeads, blocks: decode.blocks, headsByExit, multiplyAdds: decode.multiplyAdds };
    };
    const plain = await count("never");
    const previewed = await count("always");
    expect(plain).toMatchObject({ finalHeads: 12, blocks: 12 * L, headsByExit: [0, 0] });
    expect(previewed).toMatchObject({ finalHeads: 0, blocks: 12 * L, headsByExit: [0, 12] });
    const { multiplyAdds } = heads.heads[1]!.work;
    expect(plain.multiplyAdds - previewed.multiplyAdds).toBe(12 * (24 * 61 - multiplyAdds));
  });

  it("drafts where the unembedding is dear", async () => {
    const { model, heads } = await setup("wasm", "float32");
    const policy = createPolicy(heads, [0.2, "always"], { score: "margin" });
    const { ids, summary } = await generated(heads, [5, 6, 7], { policy, lossless: true });
    expect(ids).toEqual((await generated(model, [5, 6, 7])).ids);
    expect(summary.ledger.headsByExit[1]).toBeGreaterThan(0);
  });

  it("gives a sampled token the full model's distribution", async () => {
    const { model, heads } = await setup("wasm", "float32");
    const policy = createPolicy(heads, ["never", "always"], { score: "margin" });
    const sampled = await generated(heads, [5, 6, 7], { policy, temperature: 1 });
    expect(sampled.ids).toEqual((await generated(model, [5, 6, 7], { temperature: 1 })).ids);
  });
});

describe("its head", () => {
  it("is fitted, not trained, and its exact logits stay the model's", async () => {
    const heads = attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview: true });
    const last = heads.heads[1]!;
    const before = await last.weights.tensors["normGain"]!.read();
    const seen: number[] = [];
    await trainHeads(heads, documents, {
      steps: 3,
      sequenceLength: 24,
      onStep: ({ losses, agreement }) => seen.push(losses.length, agreement.length),
    });
    expect(seen).toEqual([1, 1, 1, 1, 1, 1]);
    await fitPreviews(heads, documents, { sequenceLength: 24 });
    expect(await last.weights.tensors["normGain"]!.read()).toEqual(before);
    const state = model.forward([1, 2, 3], { toDepth: L }).get(L)!;
    expect(await last.allLogits(await last.logits(state))).toEqual(await model.unembed(state).read());
    const alone = attachHeads(model, { exits: 0, unembeddingPreview: true });
    await expectCode(trainHeads(alone, documents, { steps: 1 }), "train-nothing");
  });

  it("needs no states of depth L in a recording, and is measured on it", async () => {
    const heads = attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview: { rank: 12, candidates: 4 } });
    const store = memoryStore();
    await recordHidden(model, documents, [2], store, { sequenceLength: 24 });
    const source = await cachedBatches(model, [2], store);
    await fitPreviews(heads, source);
    const online = attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview: { rank: 12, candidates: 4 } });
    await fitPreviews(online, documents, { sequenceLength: 24, batchSize: documents.length });
    const [quality] = (await measureExits(heads, source)).slice(-1);
    expect(quality).toMatchObject({ depth: L, positions: documents.length * 24 });
    await expectCode(measureExits(heads, source, { score: "entropy" }), "option-unknown", "give margin");
    // The same states in another order: the same preview but for rounding.
    expect(quality!.agreement).toBeCloseTo((await measureExits(online, source)).at(-1)!.agreement, 1);
  });

  it("is refused beside another head at depth L", () => {
    expect(() => attachHeads(model, { exits: [2, L], unembeddingPreview: true })).toThrow(/an exit at depth 4 already/);
    expect(() => attachHeads(model, { exits: 0 })).toThrow(/exits/);
  });
});
