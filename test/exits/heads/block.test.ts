/**
 * Heads with a causal block of their own: however their keys and values came about, and however many positions are
 * read together, their logits are those of the teacher-forced text, bit for bit; and a token that left early has the
 * keys and values that model/sequence.ts says.
 */
import { fc, test } from "@fast-check/vitest";
import {
  attachHeads,
  createModel,
  createPolicy,
  ExitHeads,
  generateBatch,
  type HeadKind,
  type Model,
  scoreNames,
  trainGates,
  trainHeads,
  type TrainOptions,
} from "early-exits";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import {
  type DecodeEvent,
  fitMaps,
  fitPreviews,
  fitProjections,
  headVocabularies,
  measureExits,
  streamedBatches,
} from "early-exits/exits";
import { advance, prefill, Sequence } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { cacheDtypes, createReferenceDevice, scope, Tensor } from "early-exits/tensor";
import type { Matrix } from "../../../src/model/weights.js";
import { afterAll, describe, expect, it } from "vitest";
import { fills } from "../../../src/exits/fill/index.js";
import { confidenceAt, type ExitHead, exitFires, scoreAt, scoreOf } from "../../../src/exits/heads/index.js";
import { requirePolicyFor } from "../../../src/exits/plan/index.js";
import { batchSource, headInputs, hiddenBatch, wantedBy } from "../../../src/exits/states/index.js";
import { sameBits } from "../../support/lossless.js";
import {
  giveRandomBlocks,
  giveRandomGates,
  hasScore,
  randomIds,
  smallConfigs,
  smallModel,
} from "../../support/models.js";

const wasm = await createDevice("wasm");
const devices = { reference: createReferenceDevice(), wasm } as const;
afterAll(() => wasm.dispose());

const VOCAB = 61;
const DEPTHS = [1, 2, 3];
const LAYERS = 4;

const setup = fc.record({
  config: fc.constantFrom(...Object.keys(smallConfigs)),
  on: fc.constantFrom("reference" as const, "wasm" as const),
  kvCache: fc.constantFrom(...cacheDtypes),
  vocabulary: fc.constantFrom(...headVocabularies),
  dtype: fc.constantFrom("float32" as const, "int8" as const),
});
type Setup = typeof setup extends fc.Arbitrary<infer T> ? T : never;

const made = new Map<string, Promise<ExitHeads>>();

/** Heads with random blocks at three depths of four, made once. */
function headsOf(given: Setup): Promise<ExitHeads> {
  const key = JSON.stringify(given);
  const heads = made.get(key) ?? makeHeads(given);
  made.set(key, heads);
  return heads;
}

async function makeHeads({ config, on, kvCache, vocabulary, dtype }: Setup): Promise<ExitHeads> {
  const model = await smallModel({ config: smallConfigs[config]!, device: devices[on], kvCache });
  const heads = attachHeads(model, { exits: DEPTHS, map: "block", vocabulary, dtype });
  await heads.ready();
  giveRandomBlocks(heads);
  giveRandomGates(heads);
  await fitProjections(heads, [randomIds(24, VOCAB, 9)], { sequenceLength: 24 });
  await heads.freeze();
  return heads;
}

/** [head][position] logits (or what the vocabulary has in their place) of a whole text, as calibration records them. */
async function recorded({ model, heads }: ExitHeads, ids: readonly number[]): Promise<Float32Array[][]> {
  const batch = await hiddenBatch(model, [ids], wantedBy(heads));
  const inputs = await headInputs(batch, heads, { caller: "test", weights: "packed" });
  const rows = heads.map((head, i) => rowsOf(scope(() => head.logitsOf(inputs.of[i]!))));
  return Promise.all(rows);
}

async function rowsOf(logits: Tensor): Promise<Float32Array[]> {
  const values = await logits.read();
  const width = logits.shape[1]!;
  return Array.from({ length: logits.shape[0]! }, (_, r) => values.slice(r * width, (r + 1) * width));
}

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("step" as const), depth: fc.integer({ min: 1, max: LAYERS }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("several" as const),
      count: fc.integer({ min: 1, max: 5 }),
      depth: fc.constantFrom(...DEPTHS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("prefill" as const),
      count: fc.integer({ min: 1, max: 6 }),
      sliceRows: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("truncate" as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("clone" as const, "rewind" as const) }) },
);

/** Runs the positions that lack it to a depth, together with a text that has nothing beside the stack. */
function run(sequence: Sequence, beside: Sequence, depth: number): void {
  const work = [beside, sequence].map((each) => ({ sequence: each, positions: each.pending(depth) }));
  advance(
    sequence.model,
    work.filter(({ positions }) => positions.length > 0),
    depth,
  );
}

describe("a head with a block", () => {
  test.prop([setup, fc.array(action, { minLength: 3, maxLength: 20 }), fc.nat()], { numRuns: 40 })(
    "gives the logits of the teacher-forced text in single steps, several at once, after a prefill, a cut, a copy",
    async (given, actions, seed) => {
      const heads = await headsOf(given);
      const { model } = heads;
      const text = randomIds(48, VOCAB, seed);
      const expected = await recorded(heads, text);
      const beside = new Sequence(model, 2);
      let sequence = new Sequence(model, 1, heads.sides);
      const check = async (exit: number, first: number): Promise<void> => {
        const head: ExitHead = heads.heads[exit]!;
        const positions = Array.from({ length: sequence.length - first }, (_, i) => first + i);
        const found = await rowsOf(scope(() => head.logitsOf(head.inputsAt([{ sequence, positions }]))));
        for (const [i, position] of positions.entries()) {
          expect(sameBits(found[i]!, expected[exit]![position]!), `exit ${exit}, position ${position}`).toBe(true);
        }
      };
      for (const each of actions) {
        const next = text.slice(sequence.length);
        if (next.length < 6) break;
        beside.append(next[0]!);
        switch (each.kind) {
          case "step":
            sequence.append(next[0]!);
            for (const [exit, depth] of DEPTHS.entries()) {
              if (depth > each.depth) continue;
              run(sequence, beside, depth);
              await check(exit, sequence.length - 1);
            }
            run(sequence, beside, each.depth);
            break;
          case "several":
            sequence.append(...next.slice(0, each.count));
            run(sequence, beside, each.depth);
            await check(DEPTHS.indexOf(each.depth), sequence.length - each.count);
            break;
          case "prefill":
            sequence.append(...next.slice(0, each.count));
            await prefill(model, [{ sequence, positions: sequence.pending(LAYERS) }], LAYERS, each);
            break;
          case "truncate":
            sequence.truncate(Math.floor(each.share * sequence.length));
            break;
          case "rewind":
            sequence.rewind();
            break;
          case "clone": {
            const copy = sequence.clone({ length: sequence.length, capacity: 1 });
            sequence.dispose();
            sequence = copy;
          }
        }
      }
      for (const each of [sequence, beside]) each.dispose();
    },
  );

  test.prop(
    [
      setup,
      fc.constantFrom("propagate" as const, "project" as const),
      fc.array(fc.constantFrom(0, 1, 2, undefined), { minLength: 1, maxLength: 16 }),
      fc.nat(),
    ],
    { numRuns: 40 },
  )(
    "has keys and values of the state at its depth, or of the one that a token left with",
    async (given, fill, exits, seed) => {
      const heads = await headsOf(given);
      const { model } = heads;
      const { device, config } = model;
      const sequence = new Sequence(model, 1, heads.sides);
      const states = DEPTHS.map((): Float32Array[] => []); // [side][position]
      for (const [t, exit] of exits.entries()) {
        sequence.append(randomIds(1, VOCAB, seed + t)[0]!);
        for (const [side, depth] of DEPTHS.entries()) {
          if (exit === undefined || side <= exit) {
            advance(model, [{ sequence, positions: sequence.pending(depth) }], depth);
          }
          states[side]!.push(await sequence.hidden(t).read());
        }
        if (exit === undefined) advance(model, [{ sequence, positions: sequence.pending(LAYERS) }], LAYERS);
        else fills[fill].apply(heads, sequence, t, exit);
      }
      for (const [side, { block }] of heads.heads.entries()) {
        const cache = device.createCache(config.numKvHeads, config.headDim, exits.length, model.kvCache);
        const values = Float32Array.from(states[side]!.flatMap((row) => [...row]));
        block!.write(Tensor.from(device, values, [exits.length, config.hiddenSize]), [
          { cache, positions: exits.map((_, t) => t) },
        ]);
        const found = await device.readCache(sequence.sideCache(block!), 0, exits.length);
        expect(found).toEqual(await device.readCache(cache, 0, exits.length));
        device.freeCache(cache);
      }
      sequence.dispose();
    },
  );

  test.prop(
    [
      setup,
      fc.constantFrom(...scoreNames),
      fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 3, maxLength: 3 }),
      fc.constantFrom("lazy" as const, "recompute" as const),
      fc.nat(),
    ],
    { numRuns: 40 },
  )("is evaluated in batches as it is recorded for calibration", async (given, name, thresholds, fill, seed) => {
    const heads = await headsOf(given);
    const score = hasScore({ map: "block", vocabulary: given.vocabulary }, name) ? name : "margin";
    const policy = createPolicy(heads, thresholds, { score, fill });
    const prompts = [3, 1, 6].map((length, i) => randomIds(length, VOCAB, seed + i));
    for (const prompt of prompts) {
      const events: Extract<DecodeEvent, { type: "exit" }>[] = [];
      const observer = { observe: (event: DecodeEvent) => void (event.type === "exit" && events.push(event)) };
      const texts = prompts.map((ids) => [...ids]);
      const options = { policy, maxNewTokens: 8, stopAtEndOfText: false };
      for await (const { id, prompt: index } of generateBatch(heads, prompts, options)) texts[index]!.push(id);
      const alone: number[] = [];
      for await (const { id } of generateBatch(heads, [prompt], { ...options, observer })) alone.push(id);
      const text = texts[prompts.indexOf(prompt)]!;
      expect(text).toEqual([...prompt, ...alone]);
      const { documents } = await recordDocuments(heads, [text]);
      for (const { exit, position, score: found } of events) {
        const { stats, gates } = documents[0]!.exits[exit]!;
        expect(found).toBe(score === "gate" ? gates![position] : scoreOf(confidenceAt(stats, position), score));
      }
    }
  });

  it("counts the same in policies that are run as in policies that are played on a recording", async () => {
    const heads = await headsOf({
      config: "qwen3",
      on: "wasm",
      kvCache: "int8",
      vocabulary: "full",
      dtype: "int8",
    });
    const documents = [20, 13].map((length, i) => ({ ids: randomIds(length, VOCAB, i) }));
    const thresholds = [1, 0.5, 0.2];
    const ran = await runPolicies(heads, documents, { score: "margin", fill: "lazy", thresholds: [thresholds] });
    const { documents: records } = await recordDocuments(heads, documents);
    for (const [d, { positions, exits }] of records.entries()) {
      const left = [0, 0, 0];
      for (let t = 0; t < positions; t++) {
        const exit = exits.findIndex((each, e) => exitFires(scoreAt(each, t, "margin"), thresholds[e]!, "margin"));
        if (exit >= 0) left[exit]!++;
      }
      expect(ran.documents[d]!.counts.left).toEqual(left);
      expect(Math.min(...left)).toBeGreaterThan(0);
    }
  });
});

describe("without what it needs, a head with a block", () => {
  const given: Setup = { config: "llama", on: "reference", kvCache: "float32", vocabulary: "full", dtype: "float32" };

  it("says so where a sequence holds no keys and values of it, or those of other weights", async () => {
    const heads = await makeHeads(given);
    const { model } = heads;
    const head = heads.heads[0]!;
    const read = (sequence: Sequence) => () => head.inputsAt([{ sequence, positions: [0] }]);
    const bare = new Sequence(model);
    const held = new Sequence(model, 8, heads.sides);
    for (const sequence of [bare, held]) {
      sequence.append(1);
      advance(model, [{ sequence, positions: [0] }], 1);
    }
    expect(read(bare)).toThrow(expect.objectContaining({ code: "side-missing" }));
    expect(read(held)().shape).toEqual([1, 24]);
    heads.thaw();
    await heads.freeze();
    expect(read(held)).toThrow(/begin a new sequence/);
    expect(read(held.clone())).toThrow(/begin a new sequence/);
    const again = new Sequence(model, 8, heads.sides);
    again.append(1);
    advance(model, [{ sequence: again, positions: [0] }], 1);
    expect(read(again)().shape).toEqual([1, 24]);
    expect(() => head.logits(again.hidden(0))).toThrow(expect.objectContaining({ code: "heads-block" }));
  });

  it("refuses the fill shared above an exit whose tokens it would never see, and nowhere else", async () => {
    const model = await smallModel({ config: smallConfigs["llama, shared keys and values"]!, device: devices.wasm });
    const policyAt = (exits: number[], block: number): unknown => {
      const heads = attachHeads(model, { exits, map: "linear" });
      const own = attachHeads(model, { exits: [exits[block]!], map: "block" });
      const mixed = new ExitHeads(model, heads.heads.with(block, own.heads[0]!));
      return requirePolicyFor(mixed, createPolicy(mixed, "never", { fill: "shared" }));
    };
    await expect(policyAt([1, 2], 1)).rejects.toMatchObject({ code: "fill-shared" }); // blocks 3 and 4 read block 2's
    await policyAt([1, 2], 0);
    await policyAt([2, 3], 0);
    await expect(policyAt([2, 3], 1)).rejects.toThrow(/use lazy/);
  });

  it("cannot learn from a source that mixes the positions of windows", async () => {
    const heads = await makeHeads(given);
    const documents = Array.from({ length: 4 }, (_, i) => randomIds(12, VOCAB, i));
    const streamed = streamedBatches(heads.model, documents, DEPTHS, { sequenceLength: 12 });
    for (const use of [trainHeads, trainGates, measureExits]) {
      await expect(use(heads, streamed, {})).rejects.toMatchObject({ code: "batch-windows" });
    }
  });
});

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
      await trainGates(heads, documents, { steps: 2 });
      return heads.hash();
    };
    let saved: Uint8Array | undefined;
    const whole = await trained({ onCheckpoint: (checkpoint, step) => void (step === 3 && (saved = checkpoint)) });
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
