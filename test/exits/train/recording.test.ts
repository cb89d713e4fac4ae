/**
 * Recorded states: what counts, what sampling records, sources that give the same batches however states are kept, and
 * training from them.
 */
import { attachHeads, type Model, serializeHeads, trainHeads } from "early-exits";
import {
  type BatchSource,
  cachedBatches,
  createShardWriter,
  measureExits,
  recordHidden,
  recordStates,
  selfAnswers,
  streamedBatches,
} from "early-exits/exits";
import { coverageAt } from "../../../src/exits/train/measure-exits.js";
import { answerDocument, type MarkedDocument } from "early-exits/model";
import type { Device } from "early-exits/tensor";
import { markedWindows } from "../../../src/model/documents.js";
import { createDevice } from "early-exits/node";
import { describe, expect, it, vi } from "vitest";
import { memoryStore } from "../../support/memory-store.js";
import { sharedWasm } from "../../support/devices.js";
import { expectCode } from "../../support/expect-code.js";
import { sumOf, times } from "../../support/lists.js";
import { randomIds, smallModel } from "../../support/models.js";
import { between, fc, test } from "../../support/property.js";

const V = 61;
const list = [2, 3, 5, 8, 13, 21, 34, 55];
const model = await smallModel({ device: await sharedWasm(), gain: 4 });

const documents: MarkedDocument[] = times(9, (i) => ({
  ids: randomIds(14 + 3 * i, V, i),
  from: 4 + i,
}));
const positions = documents.reduce((sum, { ids, from }) => sum + ids.length - from!, 0);
const sharding = { windowsPerShard: 4 };

async function batches(source: BatchSource, count: number) {
  const all: number[][] = [];
  for (let step = 0; step < count; step++) {
    const { hidden, final, outcome, positions, rows } = await source.batch(step);
    const states = await Promise.all([...hidden.values(), final].map((tensor) => tensor.read()));
    all.push([rows, ...states.flatMap((values) => [...values]), ...positions, ...outcome!.argmax]);
  }
  return all;
}

describe("what counts", () => {
  it("is, of an answer, the positions that chose its tokens", () =>
    expect(answerDocument([1, 2, 3], [4, 5], "a")).toEqual({ ids: [1, 2, 3, 4], from: 2, group: "a" }));

  it("keeps marked documents whole, cuts others, and leaves out windows in which nothing counts", () => {
    const ids = randomIds(150, V, 1);
    expect(markedWindows(model, [{ ids: ids.slice(0, 60), from: 10 }], 16).map((w) => [w.ids.length, w.from])).toEqual([
      [60, 10],
    ]);
    // The context holds 96 tokens.
    expect(markedWindows(model, [{ ids, from: 100 }], 16).map((w) => [w.ids.length, w.from])).toEqual([[54, 4]]);
    expect(markedWindows(model, [ids.slice(0, 40)], 16).map((w) => w.ids.length)).toEqual([16, 16, 8]);
  });

  it("decides the loss alone: neither padding nor tokens before the prompt's end have one of their own", async () => {
    const steps = async (data: MarkedDocument[]) => {
      const heads = attachHeads(model, { exits: [2], kind: "linear" });
      const { last, tokens } = await trainHeads(heads, data, { steps: 1, batchSize: data.length, sequenceLength: 48 });
      return { loss: last!.loss, tokens };
    };
    // The mean loss of the counted positions is what is left of the whole's when the others' is taken away.
    const ids = randomIds(30, V, 5);
    const whole = await steps([{ ids }]);
    const later = await steps([{ ids, from: 12 }]);
    const earlier = await steps([{ ids: ids.slice(0, 12) }]);
    expect([whole.tokens, later.tokens, earlier.tokens]).toEqual([30, 18, 12]);
    expect(later.loss).toBeCloseTo((30 * whole.loss - 12 * earlier.loss) / 18, 4);
    const both = await steps([{ ids }, { ids: ids.slice(0, 12) }]); // the shorter one is padded
    expect(both.tokens).toBe(42);
    expect(both.loss).toBeCloseTo((30 * whole.loss + 12 * earlier.loss) / 42, 5);
  });

  it("is all that is recorded, with the full model's token and the place of every position", async () => {
    const states = await recordStates(model, markedWindows(model, documents, 48), [1, 3]);
    expect(states.positions).toHaveLength(positions);
    let row = 0;
    for (const { ids, from } of documents) {
      const logits = await model.logits(ids);
      for (let s = from!; s < ids.length; s++, row++) {
        const own = logits.subarray(s * V, (s + 1) * V);
        expect(states.positions[row]).toBe(s);
        expect(states.argmax[row]).toBe(own.indexOf(Math.max(...own)));
      }
    }
  });
});

describe("streamed states", () => {
  it("give the batches of a complete cache, bit for bit, whatever the store may hold", async () => {
    const store = memoryStore();
    await recordHidden(model, documents, [1, 3], store, sharding);
    const options = { rows: 20, seed: 3 };
    const expected = await batches(await cachedBatches(model, [1, 3], store, options), 20);
    const shard = store.files.get("shard-00000.safetensors")!.length;
    for (const maxBytes of [undefined, 0, 1.5 * shard]) {
      const own = memoryStore();
      const source = streamedBatches(model, documents, [1, 3], {
        ...options,
        ...sharding,
        store: own,
        ...(maxBytes !== undefined && { maxBytes }),
      });
      expect(await batches(source, 20)).toEqual(expected);
      const bytes = sumOf([...own.files.values()], ({ length }) => length);
      expect(bytes).toBeLessThanOrEqual(maxBytes ?? Infinity);
      expect(own.files.size).toBe(maxBytes === undefined ? 3 : Math.floor(maxBytes / shard));
    }
    expect(await batches(streamedBatches(model, documents, [1, 3], { ...options, ...sharding }), 20)).toEqual(expected);
  });

  it("are taken from a store only if they are of the same text", async () => {
    const store = memoryStore();
    const options = { rows: 20, ...sharding };
    await batches(streamedBatches(model, documents.slice(1), [1], { ...options, store }), 12);
    const mixed = await batches(streamedBatches(model, documents, [1], { ...options, store }), 12);
    expect(mixed).toEqual(await batches(streamedBatches(model, documents, [1], options), 12));
  });
});

const prompts = times(7, (i) => randomIds(3 + i, V, 10 + i));

describe("selfAnswers", () => {
  const answer = async (of: Model, options: Parameters<typeof selfAnswers>[2]) => {
    const all: number[][] = [];
    for await (const one of selfAnswers(of, prompts, { maxNewTokens: 12, ...options })) {
      expect(one.prompt).toEqual(prompts[one.index]);
      all.push([...one.answer]);
    }
    return all;
  };

  it("answers in the order of the prompts, alike in any batch, and goes on after any of them", async () => {
    const whole = await answer(model, { seed: 5, batchSize: 3 });
    expect(whole).toHaveLength(7);
    expect(await answer(model, { seed: 5, batchSize: 7 })).toEqual(whole);
    expect(await answer(model, { seed: 5, first: 4, depths: [2] })).toEqual(whole.slice(4));
    expect(await answer(model, { seed: 6 })).not.toEqual(whole);
  });

  it("runs once what consecutive prompts share at their beginning, and answers as if it had not", async () => {
    const system = randomIds(20, V, 1);
    const asked = [1, 1, 1, 2, 2, 3].map((user) => [...system, ...randomIds(10, V, user)]);
    asked.push(system, [...system, 5], system.slice(0, 1));
    const block = vi.spyOn(model.device as Required<Device>, "block");
    const { numLayers, hiddenSize } = model.config;
    const rowsRun = () => sumOf(block.mock.calls, ([x]) => x.length / hiddenSize); // of all blocks
    const together: number[][] = [];
    const states: unknown[] = [];
    for await (const one of selfAnswers(model, asked, { maxNewTokens: 4, seed: 3, depths: [2], batchSize: 4 })) {
      together.push([...one.answer]);
      states.push(one.states);
    }
    const runTogether = rowsRun();
    const alone: number[][] = [];
    for (const [i, prompt] of asked.entries()) {
      for await (const one of selfAnswers(model, [prompt], { maxNewTokens: 4, seed: 3 + i, depths: [2] })) {
        alone.push([...one.answer]);
        expect(states[i]).toEqual(one.states);
      }
    }
    expect(together).toEqual(alone);
    const written = together.flat().length;
    // The beginning, all that users say but their last token, and nothing again; of block L, only keys and values.
    expect(runTogether).toBe((numLayers - 1) * (20 + 9 + 9 + 9) + numLayers * written);
    expect(rowsRun() - runTogether).toBe((numLayers - 1) * (asked.flat().length - asked.length) + numLayers * written);
    block.mockRestore();
  });

  it.each(["float32", "int8"] as const)(
    "keeps the states that recording its finished answers gives, bit for bit, in %s",
    async (dtype) => {
      const own = await smallModel({ device: await createDevice("wasm"), dtype, gain: 4 });
      for await (const { prompt, answer: tokens, states } of selfAnswers(own, prompts, {
        depths: [3, 1],
        batchSize: 4,
        maxNewTokens: 12,
      })) {
        const document = answerDocument(prompt, tokens);
        const recorded = await recordStates(own, markedWindows(own, [document], 48), [1, 3]);
        expect(states!.positions).toHaveLength(tokens.length);
        expect(states).toEqual(recorded);
      }
    },
  );
});

it("a shard writer writes the shards that recording would, and leaves out answers that lack states", async () => {
  const written = memoryStore();
  const broken = memoryStore();
  const all = createShardWriter(model, [1, 3], written, { windowsPerShard: 3 });
  const some = createShardWriter(model, [1, 3], broken, { windowsPerShard: 3 });
  const answers: MarkedDocument[] = [];
  for await (const { index, prompt, answer, states } of selfAnswers(model, prompts, {
    depths: [1, 3],
    maxNewTokens: 9,
  })) {
    const document = answerDocument(prompt, answer);
    answers.push(document);
    await all.add(document, states);
    await some.add(document, index === 1 ? undefined : states);
  }
  expect([...written.files.keys()]).toEqual(["shard-00000.safetensors", "shard-00001.safetensors"]);
  expect([...broken.files.keys()]).toEqual(["shard-00001.safetensors"]);
  const recorded = memoryStore();
  const reused: boolean[] = [];
  await recordHidden(model, answers, [1, 3], recorded, { windowsPerShard: 3 });
  await recordHidden(model, answers, [1, 3], written, {
    windowsPerShard: 3,
    onShard: (event) => reused.push(event.reused),
  });
  expect(reused).toEqual([true, true, false]);
  expect(Object.fromEntries(written.files)).toEqual(Object.fromEntries(recorded.files));
});

it("training on a list measures held-out data while it runs, and the measurement changes no bit", async () => {
  const held = streamedBatches(model, documents.slice(0, 3), [1, 3], { rows: 16, ...sharding });
  const train = async (measuring: object) => {
    const heads = attachHeads(model, { exits: [1, 3], kind: "linear" });
    const source = streamedBatches(model, documents, heads.depths, { rows: 32, ...sharding });
    await trainHeads(heads, source, { steps: 6, learningRate: 5e-3, list, ...measuring });
    return (await serializeHeads(heads)).weights;
  };
  const seen: number[] = [];
  const onMeasure = ({ step }: { step: number }) => void seen.push(step);
  expect(await train({ held, measureEvery: 4, onMeasure })).toEqual(await train({}));
  expect(seen).toEqual([4, 6]);
});

describe("measureExits", () => {
  it("finds that a head at full depth agrees everywhere and may always leave", async () => {
    const heads = attachHeads(model, { exits: [model.config.numLayers], kind: "dense" });
    const held = streamedBatches(model, documents, heads.depths, { rows: 50, ...sharding });
    const [exit] = await measureExits(heads, held);
    expect([exit!.agreement, exit!.positions]).toEqual([1, positions]);
    expect(exit!.levels.map(({ coverage }) => coverage)).toEqual([1, 1, 1, 1]);
  });

  it("needs a source that ends", async () => {
    const endless: BatchSource = { batch: () => Promise.reject(new Error("not asked")) };
    await expectCode(measureExits(attachHeads(model, { exits: [1] }), endless), "held-endless");
  });
});

describe("coverageAt", () => {
  it("is the longest run of the surest positions that leaves enough of all positions right", () => {
    //                                        surest .. least sure
    expect(coverageAt([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [1, 1, 0, 1, 1, 0, 1, 0, 0, 0], [1, 0.9, 0.8, 0.5])).toEqual([
      0.2, 0.5, 0.7, 1,
    ]);
    expect(coverageAt([1, 1, 1, 0], [1, 1, 0, 1], [1, 0.75])).toEqual([0, 1]); // equal scores leave together
  });

  test.prop([fc.array(fc.tuple(between(0, 9), fc.boolean()), { minLength: 1 })])(
    "grows as the level falls, and leaves no more wrong positions than the level allows",
    (drawn) => {
      const scores = drawn.map(([score]) => score);
      const agrees = drawn.map(([, right]) => Number(right));
      const levels = [0.95, 0.8, 0.5];
      const found = coverageAt(scores, agrees, levels);
      expect(found).toEqual([...found].sort((a, b) => a - b));
      found.forEach((coverage, l) => {
        const leaving = Math.round(coverage * drawn.length);
        const order = drawn.toSorted(([a], [b]) => b - a).slice(0, leaving);
        expect(order.filter(([, right]) => !right).length).toBeLessThanOrEqual((1 - levels[l]!) * drawn.length + 1e-9);
      });
    },
  );
});
