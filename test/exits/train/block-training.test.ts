/** Training heads with a block of their own: over whole windows, from the fitted linear map on. */
import {
  attachHeads,
  createModel,
  type ExitHeads,
  type HeadKind,
  type Model,
  trainHeads,
  type TrainOptions,
} from "early-exits";
import { fitMaps, fitPreviews, measureExits } from "early-exits/exits";
import type { Tensor } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { batchSource, hiddenBatch, wantedBy } from "../../../src/exits/states/index.js";
import type { Matrix } from "../../../src/model/weights.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";
import { headsOf, LAYERS, VOCAB, wasm } from "../heads/block-setup.js";

describe("training a head with a block", () => {
  it.each(Object.keys(smallConfigs))("computes what decoding computes, to within rounding: %s", async (config) => {
    const heads = await headsOf({ config, on: "reference", kvCache: "float32", vocabulary: "full", dtype: "float32" });
    const batch = await hiddenBatch(heads.model, [randomIds(20, VOCAB, 1)], wantedBy(heads.heads));
    for (const head of heads.heads) {
      const states = batch.hidden.get(head.depth)!;
      const decoded = await head.block!.overWindow(states).read();
      const trained = await head.trainingInputs(states).read();
      trained.forEach((value, i) => expect(value).toBeCloseTo(decoded[i]!, 3));
    }
  });

  it("begins as the linear head, bit for bit, fresh and fitted", async () => {
    const model = await smallModel({ config: smallConfigs["gemma3_text"]!, device: wasm });
    const [own, linear] = ["block", "linear"].map((kind) => attachHeads(model, { exits: [2], kind: kind as HeadKind }));
    const states = model.forward(randomIds(9, VOCAB, 1), { toDepth: 2 }).get(2)!;
    for (const fitted of [false, true]) {
      for (const heads of [own!, linear!]) {
        if (fitted) await fitMaps(heads, [randomIds(200, VOCAB, 2)], { sequenceLength: 20 });
        await heads.freeze();
      }
      const [head, other] = [own!.heads[0]!, linear!.heads[0]!];
      expect(await head.logitsOf(head.block!.overWindow(states)).read()).toEqual(await other.logits(states).read());
    }
  });

  it("changes all of its weights, and finds what attention brings above the exit", async () => {
    const model = await attentive();
    const documents = (seed: number, count: number) =>
      Array.from({ length: count }, (_, i) => randomIds(16, VOCAB, seed + i));
    const heads = attachHeads(model, { exits: [3], kind: "block" });
    const linear = attachHeads(model, { exits: [3], kind: "linear" });
    const held = batchSource(model, documents(5000, 40), wantedBy(heads.heads), { sequenceLength: 16 });
    const agreement = async (of: ExitHeads): Promise<number> => (await measureExits(of, held))[0]!.agreement;
    for (const each of [heads, linear]) await fitMaps(each, documents(1, 400), { sequenceLength: 16 });
    const fitted = await agreement(linear);
    expect(await agreement(heads)).toBe(fitted);
    const before = await valuesOf(heads);
    const training = { steps: 300, batchSize: 8, sequenceLength: 16, learningRate: 0.02 };
    for (const each of [heads, linear]) await trainHeads(each, documents(1, 400), training);
    for (const [name, values] of await valuesOf(heads)) expect(values, name).not.toEqual(before.get(name));
    expect(await agreement(heads)).toBeGreaterThan(fitted + 0.1);
    expect(await agreement(heads)).toBeGreaterThan((await agreement(linear)) + 0.1);
  });

  it("learns from documents of which the first positions do not count, and resumes bit for bit", async () => {
    const model = await smallModel({ device: wasm });
    const documents = Array.from({ length: 6 }, (_, i) => ({ ids: randomIds(10 + i, VOCAB, i), from: i + 1 }));
    const trained = async (options: TrainOptions) => {
      const heads = attachHeads(model, { exits: [1, 3], kind: "blockPreview", preview: { rank: 8, candidates: 8 } });
      await trainHeads(heads, documents, { steps: 6, batchSize: 2, checkpointEvery: 3, ...options });
      await fitPreviews(heads, documents);
      return heads.hash();
    };
    let saved: Uint8Array | undefined;
    const whole = await trained({
      onCheckpoint(checkpoint, step) {
        if (step === 3) saved = checkpoint;
      },
    });
    expect(await trained({ resume: saved! })).toBe(whole);
  });
});

/** A model whose last block, and there its attention, decides the token. */
async function attentive(): Promise<Model> {
  const model = createModel(smallConfigs["llama"]!, { device: wasm, seed: 1 });
  for (const [index, { query, keyValue, attentionOut, up, down }] of model.weights.blocks.entries()) {
    const wide = index === LAYERS - 1 ? 15 : 2;
    for (const { weight } of [query, keyValue!, up, down]) await widen(weight, wide);
    await widen(attentionOut.weight, index === LAYERS - 1 ? 4 * wide : wide);
  }
  await widen(model.weights.unembedding.weight, 30);
  return model;
}

async function widen(weight: Matrix, factor: number): Promise<void> {
  const { device, storage } = weight as Tensor;
  device.write(
    storage,
    (await weight.read()).map((value) => factor * value),
  );
}

async function valuesOf({ heads }: ExitHeads): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, tensor] of Object.entries(heads[0]!.weights)) values.set(name, await tensor.read());
  return values;
}
