/** Training from scratch: it learns, it resumes bit for bit, and what it wrote loads as a frozen model. */
import { byteTokenizer, createModel, createReferenceDevice, evaluateLoss, llamaConfigJson, loadModel, memorySource, pretrain, serializeModel, tokenStream } from "early-exits";
import { describe, expect, it } from "vitest";
import { smallModel } from "../support/models.js";

const device = createReferenceDevice();
const config = llamaConfigJson({ vocabSize: 257, hiddenSize: 16, numLayers: 2, numHeads: 2, numKvHeads: 1, intermediateSize: 32, maxPositionEmbeddings: 32, tieWordEmbeddings: true, bosTokenId: 256, eosTokenIds: [256] });
const fresh = () => createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
const text = ["abcabcabcabc".repeat(8), "bcabcabcabca".repeat(8)];
const options = { steps: 30, batchSize: 4, sequenceLength: 16, learningRate: 1e-2 };

describe("pretrain", () => {
  it("learns a periodic text, and the checkpoint loads with the same loss", async () => {
    const model = fresh();
    const stream = tokenStream(model, text);
    const [before, untrained] = [await evaluateLoss(model, stream), await model.hash()];
    const last = await pretrain(model, stream, options);
    const after = await evaluateLoss(model, stream);
    expect(before).toBeGreaterThan(5);
    expect(after).toBeLessThan(2);
    expect(last?.step).toBe(30);
    expect(await model.hash()).not.toBe(untrained);
    const loaded = await loadModel(config, memorySource(await serializeModel(model)), { device });
    expect(await evaluateLoss(loaded, stream)).toBeCloseTo(after, 5);
  });

  it("resumes from a checkpoint bit for bit, and refuses one of another run", async () => {
    const [whole, half] = [fresh(), fresh()];
    const stream = tokenStream(whole, text);
    await pretrain(whole, stream, { ...options, steps: 8 });
    let saved: Uint8Array | undefined;
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }): void => (step === 4 ? stop.abort(new Error("power cut")) : undefined);
    await expect(pretrain(half, stream, { ...options, steps: 8, checkpointEvery: 2, onStep, signal: stop.signal, onCheckpoint: (bytes) => void (saved = bytes) })).rejects.toThrow("power cut");
    const resumed = fresh();
    await pretrain(resumed, stream, { ...options, steps: 8, resume: saved! });
    expect(await serializeModel(resumed)).toEqual(await serializeModel(whole));
    await expect(pretrain(fresh(), stream, { ...options, steps: 9, resume: saved! })).rejects.toThrow(/checkpoint's steps is "8", this run's "9"/);
  });

  it("refuses too little text and frozen models", async () => {
    const model = fresh();
    await expect(pretrain(model, tokenStream(model, ["short"]), options)).rejects.toThrow(/6 tokens, a window needs 17/);
    const frozen = await smallModel();
    await expect(pretrain(frozen, Uint32Array.from({ length: 50 }, () => 1), options)).rejects.toMatchObject({ code: "model-frozen" });
  });
});
