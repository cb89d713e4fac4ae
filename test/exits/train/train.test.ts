/** Training heads: a frozen backbone, a falling loss, resuming bit for bit, and training from a cache of states. */
import {
  attachHeads,
  createModel,
  createPolicy,
  type ExitHeads,
  loadModel,
  pretrain,
  sampleDocuments,
  serializeHeads,
  splitDocuments,
  trainHeads,
  type TrainStep,
} from "early-exits";
import { byteTokenizer } from "../../support/byte-tokenizer.js";
import { memorySource, serializeModel, tokenStream, allWeights } from "early-exits/model";
import { cachedBatches, recordHidden, recordStates } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { markedWindows } from "../../../src/model/documents.js";
import { generated } from "../../support/generated.js";
import { memoryStore } from "../../support/memory-store.js";
import { sharedWasm } from "../../support/devices.js";
import { byteLlama, smallModel } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";
import { sumOf, times } from "../../support/lists.js";

const device = await sharedWasm();
const config = byteLlama({
  hiddenSize: 16,
  numLayers: 3,
  numHeads: 2,
  numKvHeads: 1,
  intermediateSize: 32,
  maxPositionEmbeddings: 48,
});
const words = ["the cat sat on the mat", "a dog ran in the fog", "the fog sat on a dog"];
const documents = times(12, (i) => `${words[i % 3]!}. ${words[(i + 1) % 3]!}.`);
const fresh = createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
await pretrain(fresh, tokenStream(fresh, documents), {
  steps: 60,
  batchSize: 4,
  sequenceLength: 32,
  learningRate: 1e-2,
});
const model = await loadModel(config, memorySource(await serializeModel(fresh)), {
  device,
  tokenizer: byteTokenizer(),
});

const options = { steps: 20, batchSize: 3, sequenceLength: 24, learningRate: 5e-3 };
const train = async (heads: ExitHeads, extra: object = {}) => {
  const seen: TrainStep[] = [];
  await trainHeads(heads, documents, { ...options, onStep: (step) => seen.push(step), ...extra });
  return seen;
};
const mean = (steps: readonly TrainStep[], of: (step: TrainStep) => number) =>
  sumOf(steps, (step) => of(step)) / steps.length;

describe("trainHeads", () => {
  it("lowers the loss, raises agreement, and leaves every byte of the backbone as it was", async () => {
    const before = await Promise.all(allWeights(model.weights).map((weight) => weight.read()));
    const steps = await train(attachHeads(model, { exits: [1, 2] }));
    expect(mean(steps.slice(-5), ({ loss }) => loss)).toBeLessThan(0.6 * mean(steps.slice(0, 2), ({ loss }) => loss));
    for (const head of [0, 1]) {
      expect(mean(steps.slice(-5), ({ agreement }) => agreement[head]!)).toBeGreaterThan(
        mean(steps.slice(0, 2), ({ agreement }) => agreement[head]!),
      );
    }
    expect(await Promise.all(allWeights(model.weights).map((weight) => weight.read()))).toEqual(before);
    expect(steps.map(({ step }) => step)).toEqual(times(20, (i) => i + 1));
  });

  it.each([
    { kind: "kl", temperature: 2 },
    { kind: "kl", topK: 5 },
    { kind: "penalized", weight: 0.3 },
  ] as const)("lowers the loss %j too", async (loss) => {
    const steps = await train(attachHeads(model, { exits: [2] }), { loss });
    expect(mean(steps.slice(-5), (step) => step.loss)).toBeLessThan(mean(steps.slice(0, 2), (step) => step.loss));
  });

  it("gives the same bytes for the same seed, and others for another", async () => {
    const bytes = async (seed: number) => {
      const heads = attachHeads(model, { exits: [1], kind: "linear" });
      await train(heads, { steps: 3, seed });
      return (await serializeHeads(heads)).weights;
    };
    expect(await bytes(1)).toEqual(await bytes(1));
    expect(await bytes(1)).not.toEqual(await bytes(2));
  });

  it.for<[object, string, number[], object]>([
    [{}, "depths", [1], {}],
    [{ list: [97, 98, 99] }, "list", [1, 2], { list: [97, 98] }],
  ])("with %j resumes from a checkpoint bit for bit, and refuses that of other %s", async ([own, , exits, other]) => {
    const whole = attachHeads(model, { exits: [1, 2] });
    let last: Uint8Array | undefined;
    await train(whole, { steps: 6, ...own, onCheckpoint: (bytes: Uint8Array) => void (last = bytes) });
    const done = attachHeads(model, { exits: [1, 2] });
    const written = async (heads: ExitHeads) =>
      (await generated(heads, [1, 2], { policy: createPolicy(heads, "always") })).ids;
    const before = await written(done);
    await train(done, { steps: 6, ...own, resume: last });
    expect(await written(done)).toEqual(await written(whole));
    expect(await written(done)).not.toEqual(before);
    let saved: Uint8Array | undefined;
    const stop = new AbortController();
    await expect(
      train(attachHeads(model, { exits: [1, 2] }), {
        steps: 6,
        ...own,
        signal: stop.signal,
        checkpointEvery: 2,
        onCheckpoint: (bytes: Uint8Array) => void (saved = bytes),
        onStep: ({ step }: TrainStep) => (step === 3 ? stop.abort(new Error("power cut")) : undefined),
      }),
    ).rejects.toThrow("power cut");
    const resumed = attachHeads(model, { exits: [1, 2] });
    await train(resumed, { steps: 6, ...own, resume: saved });
    expect((await serializeHeads(resumed)).weights).toEqual((await serializeHeads(whole)).weights);
    const refused = train(attachHeads(model, { exits }), { steps: 6, ...other, resume: saved });
    await expectCode(refused, "checkpoint-mismatch");
    const heads = attachHeads(model, { exits: [1, 2] });
    const untouched = await heads.hash();
    const damaged = saved!.slice();
    damaged.fill(255, 8 + new DataView(damaged.buffer).getUint32(0, true)); // NaN
    await expectCode(train(heads, { steps: 6, ...own, resume: damaged }), "weights-non-finite");
    expect(await heads.hash()).toBe(untouched);
  });

  it("refuses illegal options and empty text", async () => {
    const heads = attachHeads(model, { exits: [1] });
    await expect(train(heads, { steps: 0 })).rejects.toThrow(/trainHeads: steps/);
    await expect(train(heads, { loss: { kind: "kl", temperature: 0 } })).rejects.toThrow(/temperature/);
    await expect(train(heads, { loss: { kind: "penalized", weight: 2 } })).rejects.toThrow(/weight/);
    await expectCode(train(heads, { list: [1, 2], loss: { kind: "kl", topK: 1 } }), "option-range", "[2, 2]");
    await expectCode(trainHeads(heads, [""], options), "documents-empty");
  });
});

describe("hidden-state cache", () => {
  const recording = { sequenceLength: 24, windowsPerShard: 4 };

  it("visits every position once in an epoch", async () => {
    const store = memoryStore();
    await recordHidden(model, documents, [1], store, recording);
    const windows = markedWindows(model, documents, 24);
    const { positions } = await recordStates(model, windows, []);
    const source = await cachedBatches(model, [1], store, { rows: 50, seed: 4 });
    const visited: number[] = [];
    for (let step = 0; visited.length < positions.length; step++) {
      visited.push(...(await source.batch(step)).positions);
    }
    expect(visited.toSorted()).toEqual([...positions].toSorted());
  });

  it("resumes an interrupted recording at the first missing shard, with the same bytes", async () => {
    const whole = memoryStore();
    const broken = memoryStore();
    await recordHidden(model, documents, [1], whole, recording);
    const stop = new AbortController();
    await expect(
      recordHidden(model, documents, [1], broken, {
        ...recording,
        signal: stop.signal,
        onShard: () => stop.abort(new Error("power cut")),
      }),
    ).rejects.toThrow("power cut");
    await expectCode(cachedBatches(model, [1], broken), "cache-incomplete");
    const reused: boolean[] = [];
    await recordHidden(model, documents, [1], broken, { ...recording, onShard: (event) => reused.push(event.reused) });
    expect(reused[0]).toBe(true);
    expect(reused.slice(1).every((flag) => !flag)).toBe(true);
    expect(broken.files).toEqual(whole.files);
  });

  it("is refused if it is stale: another model, other data, other exits", async () => {
    const store = memoryStore();
    await recordHidden(model, documents, [1], store, recording);
    const other = await smallModel({ seed: 5 });
    await expect(cachedBatches(other, [1], store)).rejects.toThrow(/recorded from model/);
    await expect(cachedBatches(model, [2], store)).rejects.toThrow(/holds depths 1, not 2/);
    await expect(recordHidden(model, documents.slice(1), [1], store, recording)).rejects.toThrow(/another dataHash/);
    await expect(recordHidden(model, documents, [1, 2], store, recording)).rejects.toThrow(/another depths/);
    await store.write("cache.json", new TextEncoder().encode("{"));
    await expectCode(cachedBatches(model, [1], store), "cache-malformed");
    await expectCode(cachedBatches(model, [1], memoryStore()), "cache-missing");
  });
});

describe("documents", () => {
  it("are split into a seeded partition, by blank lines or form feeds", () => {
    const text = times(10, (i) => `document ${i}`);
    const { train: a, held } = splitDocuments(text.join("\n\n"), { train: 0.7, seed: 1 });
    expect([a.length, held.length]).toEqual([7, 3]);
    expect([...a, ...held].sort()).toEqual(text);
    expect(splitDocuments(text.join("\f"), { train: 0.7, seed: 1 }).train).toEqual(a);
    expect(splitDocuments(text.join("\n\n"), { train: 0.7, seed: 2 }).train).not.toEqual(a);
    expect(() => splitDocuments("one only")).toThrow(/found 1 document/);
  });

  it("can be sampled from the model, as a function of the seed", async () => {
    const sample = async (seed: number) => {
      const all: string[] = [];
      for await (const ids of sampleDocuments(model, { count: 3, length: 12, seed })) all.push(ids.join());
      return all;
    };
    const texts = await sample(1);
    expect(await sample(1)).toEqual(texts);
    expect(new Set(texts.concat(await sample(2))).size).toBe(6);
  });
});
