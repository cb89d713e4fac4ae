/** Continuous batching: every text is that of `generate` alone, limits are kept, and memory is given back. */
import { setImmediate } from "node:timers/promises";
import { between, casesHere, fc, test } from "../support/property.js";
import { attachHeads, createPolicy, generate, type GenerateOptions, loadModel } from "early-exits";
import { fitProjections } from "early-exits/exits";
import { cacheBytesPerPosition, memorySource } from "early-exits/model";
import { Batcher, type BatcherOptions, type ServedText, type ServedToken, type TextRequest } from "early-exits/serve";
import { expect, it, vi } from "vitest";
import { apiErrorOf } from "../../apps/serve/api-error.js";
import { DeviceError, NumericsError } from "../../src/errors.js";
import { sharedWasm } from "../support/devices.js";
import { times } from "../support/lists.js";
import { damagedCheckpoint, randomIds, smallByteModel, smallConfigs } from "../support/models.js";
import { expectCode } from "../support/expect-code.js";

const heads = attachHeads(await smallByteModel(), { exits: [1, 2, 3] });
await fitProjections(heads, ["the quick brown fox. ".repeat(20)], { sequenceLength: 16 });
const policyWith = (fill: "lazy" | "project") => createPolicy(heads, [0.8, 0.5, 0.3], { score: "margin", fill });
const policies = { lazy: policyWith("lazy"), project: policyWith("project") };

const waysOf = (fill: "lazy" | "project") => ({
  policy: policies[fill],
  drafting: policies[fill],
});
const batcherWith = (options: BatcherOptions = {}) => new Batcher(heads, { ...waysOf("lazy"), ...options });

async function read(text: ServedText) {
  const tokens: ServedToken[] = [];
  for await (const token of text) tokens.push(token);
  return tokens;
}

/** Text of `generate` for the same request alone. */
async function alone(promptIds: readonly number[], request: TextRequest, fill: "lazy" | "project" = "lazy") {
  const { mode = "plain", ...options } = request;
  const ways: Readonly<Record<typeof mode, GenerateOptions>> = {
    plain: {},
    exits: { policy: policies[fill] },
    lossless: { policy: policies[fill], lossless: true },
  };
  const run = generate(heads, promptIds, { ...options, ...ways[mode] });
  const tokens: unknown[] = [];
  // Which of its tokens were drafted depends on the texts beside it.
  for await (const token of run) tokens.push(mode === "lossless" ? token.id : token);
  return { tokens, summary: run.summary };
}

/** The token without what `generate` does not say. */
function tokenOf(token: ServedToken): unknown {
  const { logprobs, ...rest } = token;
  expect(logprobs?.logprob ?? 0).toBeLessThanOrEqual(0);
  return rest;
}

/** One text of the law: when it comes, in turns after the one before, and when it is given up, in tokens. */
const textArbitrary = fc.record({
  prompt: fc.tuple(between(0, 50), between(1, 20), between(1, 3)),
  mode: fc.constantFrom("plain", "exits", "lossless"),
  maxNewTokens: between(0, 12),
  temperature: fc.constantFrom(0, 0.05, 1),
  topK: fc.constantFrom(0, 5),
  seed: between(0, 9),
  logprobs: fc.constantFrom(undefined, 2),
  /** True if a second text continues the first. */
  goesOn: fc.boolean(),
  pause: between(0, 6),
  leavesAfter: fc.option(between(0, 6), { freq: 3 }),
  how: fc.constantFrom("abort", "break"),
});

test.prop(
  [
    fc.array(textArbitrary, { minLength: 1, maxLength: 10 }),
    fc.record({
      parallel: between(1, 5),
      prefillRows: between(1, 40),
      positions: between(96, 400),
      fill: fc.constantFrom("lazy", "project"),
    }),
  ],
  { numRuns: casesHere(30) },
)("writes what generate writes for each request alone, whatever runs beside it", async (texts, limits) => {
  const { parallel, prefillRows, positions, fill } = limits;
  const cacheBytes = positions * cacheBytesPerPosition(heads.model.config, "float32");
  const batcher = new Batcher(heads, { ...waysOf(fill), parallel, prefillRows, cacheBytes });
  const shared = randomIds(50, 257, 1);
  /** One text, compared with what `generate` writes. Returns its tokens; undefined if it was given up. */
  const writeOne = async (promptIds: readonly number[], text: (typeof texts)[number]) => {
    const { mode, logprobs, leavesAfter, how, maxNewTokens, temperature, topK, seed } = text;
    const asked = { mode, maxNewTokens, temperature, topK, seed, stopAtEndOfText: false };
    const request: TextRequest = {
      ...asked,
      ...(mode !== "lossless" && logprobs !== undefined && { logprobs }),
    };
    const controller = new AbortController();
    const stream = batcher.submit(promptIds, { ...request, signal: controller.signal });
    const tokens: ServedToken[] = [];
    const left = (async () => {
      if (leavesAfter === 0 && how === "abort") controller.abort(new Error("enough"));
      for await (const token of stream) {
        expect(batcher.state.cacheBytes).toBeLessThanOrEqual(cacheBytes);
        tokens.push(token);
        if (tokens.length !== leavesAfter) continue;
        if (how === "break") return true;
        controller.abort(new Error("enough"));
      }
      return false;
    })();
    const gaveUp = await left.catch((error: unknown) => {
      expect(error).toMatchObject({ message: "enough" });
      return true;
    });
    const expected = await alone(promptIds, asked, fill);
    expect(tokens.map(mode === "lossless" ? ({ id }) => id : tokenOf)).toEqual(
      gaveUp ? expected.tokens.slice(0, tokens.length) : expected.tokens,
    );
    if (gaveUp) return undefined;
    expect(stream.summary.mode).toBe(mode);
    return stream.summary.ids;
  };
  const work = texts.map(async (text) => {
    for (let turn = 0; turn < text.pause; turn++) await setImmediate();
    const [from, own, seed] = text.prompt;
    const promptIds = [...shared.slice(0, from), ...randomIds(own, 257, seed)];
    const ids = await writeOne(promptIds, text);
    if (ids !== undefined && text.goesOn) await writeOne([...promptIds, ...ids], text);
  });
  await Promise.all(work);
  await batcher.close();
  expect(batcher.state).toEqual({ running: 0, queued: 0, cacheBytes: 0, prefixBytes: 0 });
});

it("computes the beginning that prompts share once, also if they come together", async () => {
  const batcher = batcherWith();
  const prompt = randomIds(60, 257, 3);
  const texts = [0, 1, 2].map((seed) => batcher.submit(prompt, { maxNewTokens: 4, temperature: 1, seed }));
  await Promise.all(texts.map(read));
  expect(texts.map(({ summary }) => summary.reusedTokens)).toEqual([0, 59, 59]);

  const ids = [...prompt, ...texts[0]!.summary.ids.slice(0, 3), 7];
  const next = batcher.submit(ids, { maxNewTokens: 4 });
  await read(next);
  expect(next.summary.reusedTokens).toBe(63);
  expect(next.summary.ids).toEqual((await alone(ids, { maxNewTokens: 4 })).summary.ids);
  await batcher.close();
});

it("shares no position of a text whose fill is inexact beyond its prompt", async () => {
  const batcher = batcherWith(waysOf("project"));
  const prompt = randomIds(20, 257, 4);
  const first = batcher.submit(prompt, { maxNewTokens: 6, mode: "exits", stopAtEndOfText: false });
  await read(first);
  expect(Math.min(...first.summary.depthCounts.flatMap((count, depth) => (count > 0 ? [depth] : [])))).toBeLessThan(4);
  const next = batcher.submit([...prompt, ...first.summary.ids], { maxNewTokens: 2 });
  await read(next);
  expect(next.summary.reusedTokens).toBe(19);
  await batcher.close();
});

it("writes tokens of others between the slices of a long prompt", async () => {
  const batcher = batcherWith({ prefillRows: 4 });
  const order: string[] = [];
  const note = async (name: string, text: ServedText) => {
    for await (const { text: piece } of text) order.push(name + piece.slice(0, 0));
  };
  const short = note("short", batcher.submit([1, 2], { maxNewTokens: 15, stopAtEndOfText: false }));
  while (order.length < 2) await setImmediate();
  const long = note("long", batcher.submit(randomIds(40, 257, 5), { maxNewTokens: 1 }));
  await Promise.all([short, long]);
  const before = order.indexOf("long");
  expect(before).toBeGreaterThanOrEqual(2 + 9); // 39 positions in slices of 4 are 10 turns
  await batcher.close();
});

it("refuses what exceeds its queue or its memory, and after it was closed", async () => {
  const bytes = cacheBytesPerPosition(heads.model.config, "float32");
  const batcher = batcherWith({ parallel: 1, queueLimit: 1, textBytes: 20 * bytes });
  await expectCode(() => batcher.submit([1, 2], { maxNewTokens: 19 }), "serve-memory");
  const texts = [1, 2].map((id) => batcher.submit([id], { maxNewTokens: 3 }));
  await expectCode(() => batcher.submit([3], { maxNewTokens: 3 }), "queue-full");
  const closed = batcher.close();
  await expectCode(() => batcher.submit([3]), "serve-closed");
  await Promise.all(texts.map(read)); // those that it has are finished
  await closed;
});

it("refuses modes that it was not given, and log-probabilities of lossless text", () => {
  const plain = new Batcher(heads.model);
  expect(() => plain.submit([1], { mode: "exits" })).toThrow(/mode "exits" was asked for/);
  expect(() => batcherWith().submit([1], { mode: "lossless", logprobs: 1 })).toThrow(/ask for "plain"/);
  expect(() => plain.submit([])).toThrow(/no tokens/);
  expect(() => plain.submit([999])).toThrow(/token id 999/);
});

it("gives up a text whose reader is too slow, and goes on with the others", async () => {
  const batcher = batcherWith({ unreadTokens: 5 });
  const slow = batcher.submit([1], { maxNewTokens: 20, stopAtEndOfText: false });
  const other = batcher.submit([2], { maxNewTokens: 20, stopAtEndOfText: false });
  expect(await read(other)).toHaveLength(20);
  await expectCode(read(slow), "reader-slow");
  await batcher.close();
});

it("gives the log-probabilities of the logits that each token was drawn from", async () => {
  const { model } = heads;
  const batcher = new Batcher(model);
  const prompt = [5, 6, 7];
  const tokens = await read(batcher.submit(prompt, { maxNewTokens: 5, temperature: 1, seed: 2, logprobs: 3 }));
  const ids = [...prompt];
  for (const { id, logprobs } of tokens) {
    const all = await model.logits(ids);
    const logits = [...all.subarray(all.length - model.config.vocabSize)];
    const max = Math.max(...logits);
    const shift = max + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - max), 0));
    expect(logprobs!.logprob).toBeCloseTo(logits[id]! - shift, 9);
    const order = logits.map((z, i) => ({ id: i, z })).sort((a, b) => b.z - a.z || a.id - b.id);
    expect(logprobs!.top.map((one) => one.id)).toEqual(order.slice(0, 3).map((one) => one.id));
    ids.push(id);
  }
  await batcher.close();
});

it("shows log-probabilities without changing a token where exits rank few, and gives all memory back", async () => {
  const model = await smallByteModel({ device: await sharedWasm() });
  const ranked = attachHeads(model, { exits: [1, 2], preview: { rank: 4, candidates: 4 } });
  const batcher = new Batcher(ranked, { policy: createPolicy(ranked, "always"), prefixBytes: 0 });
  const write = async (request: TextRequest) => {
    const texts = times(3, (i) =>
      batcher.submit(randomIds(5, 257, i), { mode: "exits", maxNewTokens: 12, ...request }),
    );
    return Promise.all(texts.map(async (text) => (await read(text)).map(({ id }) => id)));
  };
  const plain = await write({});
  const { used } = model.device.memory!();
  expect(await write({ logprobs: 2 })).toEqual(plain);
  expect(model.device.memory!().used).toBe(used);
});

it("a text that fails leaves those beside it as they are", async () => {
  const checkpoint = memorySource(await damagedCheckpoint("model.embed_tokens.weight", NaN)); // of token 0
  const model = await loadModel(smallConfigs["llama"]!, checkpoint, { device: await sharedWasm() });
  const batcher = new Batcher(model);
  const [good, bad] = [3, 0].map((id) => batcher.submit([2, id], { maxNewTokens: 3 }));
  const failed = expectCode(read(bad!), "numerics-non-finite");
  expect(await read(good!)).toHaveLength(3);
  await failed;
});

it("where memory is full and no ended text makes room, the newest fails", async () => {
  const batcher = batcherWith({ policy: createPolicy(heads, 1e9, { score: "margin" }), prefixBytes: 0 });
  vi.spyOn(heads.model.device.kernels, "rowArgmax").mockImplementationOnce(() => {
    throw new DeviceError("wasm-memory-full", "");
  });
  const texts = [1, 2].map((id) => batcher.submit([id], { mode: "exits", maxNewTokens: 3 }));
  const ended = await Promise.allSettled(texts.map(read));
  expect(ended.map((text) => text.status)).toEqual(["fulfilled", "rejected"]);
});

it("where ended texts make room in full memory, a text draws again what it drew", async () => {
  const requests = times(4, (seed): TextRequest => ({ mode: "exits", temperature: 1, seed, maxNewTokens: 6 }));
  const expected = await Promise.all(requests.map((request) => alone([1, 2], request)));
  const { kernels } = heads.model.device;
  const cacheWrite = kernels.cacheWrite.bind(kernels);
  for (const failing of [5, 8]) {
    const batcher = batcherWith({ prefixBytes: 2 ** 20 });
    await read(batcher.submit([5, 6]));
    let calls = 0;
    vi.spyOn(kernels, "cacheWrite").mockImplementation((...given) => {
      if (calls++ === failing) throw new DeviceError("wasm-memory-full", "");
      cacheWrite(...given);
    });
    const texts = await Promise.all(requests.map((request) => read(batcher.submit([1, 2], request))));
    expect(texts.map((tokens) => tokens.map(tokenOf))).toEqual(expected.map(({ tokens }) => tokens));
    vi.restoreAllMocks();
  }
});

it("answers for failures that are not the client's", () => {
  const errors = [
    new DeviceError("wasm-memory-full", ""),
    new NumericsError("numerics-non-finite", ""),
    new RangeError(),
  ];
  expect(errors.map((error) => apiErrorOf(error).status)).toEqual([503, 500, 500]);
});

it("keeps at most 256 beginnings", async () => {
  const batcher = new Batcher(heads, {});
  for (let i = 0; i < 260; i++) await read(batcher.submit([i % 256, i >> 8, 7], { maxNewTokens: 1 }));
  const bytes = cacheBytesPerPosition(heads.model.config, "float32");
  expect(batcher.state.prefixBytes).toBe(256 * 3 * bytes);
});

it("fails all texts with the reason if the policy belongs to other heads", async () => {
  const other = { ...policies.lazy, modelHash: "0".repeat(64) };
  const batcher = batcherWith({ policy: other });
  const texts = [batcher.submit([1]), batcher.submit([2])];
  await expectCode(read(texts[0]!), "policy-model");
  await expectCode(read(texts[1]!), "policy-model");
});
