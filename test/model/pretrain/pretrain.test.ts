/** Training from scratch: it learns, it resumes bit for bit, and the model it writes loads as a frozen one. */
import { createModel, loadModel, type Model, pretrain, type PretrainOptions } from "early-exits";
import { createDevice } from "early-exits/node";
import { crossEntropy } from "early-exits/tensor";
import { mean } from "../../../src/tensor/ops/reduce.js";
import { byteTokenizer } from "../../support/byte-tokenizer.js";
import { evaluateLoss } from "../../../lab/ship/pretrain-folder.js";
import { memorySource, serializeModel, tokenStream } from "early-exits/model";
import { recipeOptions } from "../../../src/model/pretrain/recipes.js";
import { expect, it } from "vitest";
import { byteLlama, smallModel } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const device = await createDevice("wasm");
const config = byteLlama({
  hiddenSize: 16,
  numLayers: 2,
  numHeads: 2,
  numKvHeads: 1,
  intermediateSize: 32,
  maxPositionEmbeddings: 32,
});
const fresh = () => createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
const text = ["abcabcabcabc".repeat(8), "bcabcabcabca".repeat(8)];
const options = { steps: 30, batchSize: 4, sequenceLength: 16, learningRate: 1e-2 };

it("learns a periodic text, and the checkpoint loads with the same loss", async () => {
  const model = fresh();
  const stream = tokenStream(model, text);
  const before = await evaluateLoss(model, stream);
  const untrained = await model.hash();
  const last = await pretrain(model, stream, options);
  const after = await evaluateLoss(model, stream);
  expect(before).toBeGreaterThan(5);
  expect(after).toBeLessThan(2);
  expect(last?.step).toBe(30);
  expect(await model.hash()).not.toBe(untrained);
  const loaded = await loadModel(config, memorySource(await serializeModel(model)), { device });
  expect(await evaluateLoss(loaded, stream)).toBeCloseTo(after, 5);
});

it.each<PretrainOptions>([{}, { layerDropout: 0.5, microBatchSize: 2 }])(
  "with %j resumes from a checkpoint bit for bit, and refuses one of another run",
  async (more) => {
    const eight = { ...options, steps: 8, ...more };
    const whole = fresh();
    const stream = tokenStream(whole, text);
    await pretrain(whole, stream, eight);
    let saved: Uint8Array | undefined;
    const stop = new AbortController();
    const stopped = pretrain(fresh(), stream, {
      ...eight,
      checkpointEvery: 2,
      onStep: ({ step }) => (step === 4 ? stop.abort(new Error("power cut")) : undefined),
      signal: stop.signal,
      onCheckpoint: (bytes) => void (saved = bytes),
    });
    await expect(stopped).rejects.toThrow("power cut");
    const resumed = fresh();
    await pretrain(resumed, stream, { ...eight, resume: saved! });
    expect(await serializeModel(resumed)).toEqual(await serializeModel(whole));
    for (const other of [{ steps: 9 }, { layerDropout: 1 }]) {
      await expectCode(pretrain(fresh(), stream, { ...eight, ...other, resume: saved! }), "checkpoint-mismatch");
    }
  },
);

it("makes shallow states predict too, with intermediate losses", async () => {
  const loss = async (options: PretrainOptions) => {
    const model = createModel({ ...config, num_hidden_layers: 4 }, { device, seed: 1, tokenizer: byteTokenizer() });
    await pretrain(model, tokenStream(model, text), options);
    const ids = model.tokenizer.encode(text[0]!).slice(0, 32);
    const states = model.forward(ids.slice(0, -1), { toDepth: 1 }).get(1)!;
    return (await mean(crossEntropy(model.unembed(states), ids.slice(1))).read())[0]!;
  };
  expect(await loss({ ...options, supervision: { depths: [1], weight: 0.3 } })).toBeLessThan(
    0.7 * (await loss(options)),
  );
});

it("adds up the gradients of micro-batches, and drops blocks anew in each", async () => {
  const run = async (more: PretrainOptions) => {
    const model = fresh();
    const last = await pretrain(model, tokenStream(model, text), { ...options, steps: 3, ...more });
    return { model, last: last! };
  };
  const whole = await run({});
  const parts = await run({ microBatchSize: 1 });
  expect(parts.last.loss).toBeCloseTo(whole.last.loss, 3);
  expect(parts.last.gradientNorm).toBeCloseTo(whole.last.gradientNorm, 3);
  const dropping: PretrainOptions = { layerDropout: 1, microBatchSize: 2 }; // always drops the second of two blocks
  const before = await fresh().weights.blocks[1]!.query.weight.read();
  const second = async ({ model }: { model: Model }) => model.weights.blocks[1]!.query.weight.read();
  expect(await second(await run(dropping))).toEqual(before);
  expect(await second(await run({ ...dropping, layerDropout: 0.5 }))).not.toEqual(before);
});

it("has recipes that set its options", () => {
  expect(recipeOptions("vanilla", 12, 16)).toEqual({});
  expect(recipeOptions("both", 12, 16)).toEqual({
    supervision: { depths: [3, 6, 9], weight: 0.3 },
    layerDropout: 0.2,
    microBatchSize: 4,
  });
  expect(recipeOptions("deepSupervision", 2, 16).supervision!.depths).toEqual([1]);
});

it("refuses micro-batches that do not divide the batch, and losses at full depth", async () => {
  const model = fresh();
  const stream = tokenStream(model, text);
  await expectCode(pretrain(model, stream, { ...options, microBatchSize: 3 }), "option-range");
  await expectCode(pretrain(model, stream, { ...options, supervision: { depths: [2], weight: 1 } }), "option-range");
});

it("refuses too little text and frozen models", async () => {
  const model = fresh();
  await expect(pretrain(model, tokenStream(model, ["short"]), options)).rejects.toThrow(/6 tokens, a window needs 17/);
  const frozen = await smallModel();
  const stream = new Uint32Array(50).fill(1);
  await expectCode(pretrain(frozen, stream, options), "model-frozen");
});
