/**
 * A device of fixed memory. A request that does not fit leaves it as it was, every request that fits succeeds, and what
 * it computes is what a fresh device computes, bit for bit.
 */
import { between, fc, test } from "../support/property.js";
import { createModel, generate, loadModel, type Model } from "early-exits";
import { matmul, scope, Tensor } from "early-exits/tensor";
import { byteTokenizer } from "../support/byte-tokenizer.js";
import { byteLlama } from "../support/models.js";
import { memorySource, Sequence, serializeModel } from "early-exits/model";
import { expect, it } from "vitest";
import { createWasmDevice, type WasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { nodeHost } from "../../src/node/host.js";
import { expectCode } from "../support/expect-code.js";

const LIMIT = 2 ** 25; // 32 MiB
const config = byteLlama({
  hiddenSize: 64,
  numLayers: 3,
  numHeads: 4,
  numKvHeads: 4,
  intermediateSize: 128,
  maxPositionEmbeddings: 65_536,
});
const limited = async () => createWasmDevice({ host: nodeHost, memoryLimit: LIMIT });

async function modelOn(device: WasmDevice) {
  const reference = createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
  const checkpoint = await serializeModel(reference);
  return loadModel(config, memorySource(checkpoint), { device, tokenizer: byteTokenizer() });
}

/** Bytes of keys and values of a sequence: 3 blocks, 2 · 64 floats a position. */
const bytesOf = (capacity: number) => 3 * 2 * 64 * 4 * capacity;

test.prop(
  [
    fc.array(fc.record({ capacity: between(1, 60_000), keep: fc.boolean() }), {
      minLength: 10,
      maxLength: 25,
    }),
  ],
  { numRuns: 6 },
)("counts what lives, refuses what does not fit, and serves what does", async (requests) => {
  const device = await limited();
  const model = await modelOn(device);
  const base = device.memory().used;
  const live: { sequence: Sequence; used: number }[] = [];
  for (const { capacity, keep: keeps } of requests) {
    const before = device.memory().used;
    let sequence: Sequence | undefined;
    try {
      sequence = new Sequence(model, capacity);
    } catch (error) {
      expect(error).toMatchObject({ code: "wasm-memory-full" });
      expect(device.memory().used).toBe(before);
      // What did not fit is more than the memory has left.
      expect(bytesOf(capacity) + before).toBeGreaterThan(LIMIT / 4);
    }
    if (sequence !== undefined) live.push({ sequence, used: device.memory().used - before });
    if (!keeps) live.shift()?.sequence.dispose();
    expect(device.memory().used).toBe(base + live.reduce((sum, { used }) => sum + used, 0));
  }
  for (const { sequence } of live) sequence.dispose();
  expect(device.memory().used).toBe(base);
  new Sequence(model, 10_000).dispose(); // all of the memory is there again
  await device.dispose();
});

it("writes the text of a fresh device after a hundred requests that did not fit", async () => {
  const prompt = "Once upon a time";
  const text = async (model: Model) => {
    const run = generate(model, prompt, { maxNewTokens: 20, stopAtEndOfText: false });
    const ids: number[] = [];
    for await (const { id } of run) ids.push(id);
    return ids;
  };
  const fresh = await text(await modelOn(await limited()));
  const device = await limited();
  const model = await modelOn(device);
  await text(model); // working memory is allocated once
  const used = device.memory().used;
  for (let i = 0; i < 100; i++) {
    const endless = generate(model, prompt, { maxNewTokens: 40_000 + i });
    await expectCode((async () => endless[Symbol.asyncIterator]().next())(), "wasm-memory-full");
    expect(device.memory().used).toBe(used);
  }
  expect(await text(model)).toEqual(fresh);
  await device.dispose();
});

it("frees what a kernel was given before it failed", async () => {
  const device = await limited();
  const x = new Tensor(device, device.upload(new Float32Array(2 ** 13)), [2048, 4]);
  const y = new Tensor(device, device.upload(new Float32Array(2 ** 13)), [4, 2048]);
  const used = device.memory().used;
  for (let i = 0; i < 10; i++) {
    expect(() => scope(() => [1, 2, 3, 4].map(() => matmul(x, y)) /* 16 MiB each */)).toThrow(/memoryLimit/);
  }
  // The kernel's working memory may stay.
  expect(device.memory().used - used).toBeLessThan(2 ** 23);
  x.dispose();
  y.dispose();
  await device.dispose();
});

it("refuses a cache whose size 32 bits cannot hold, and says what fits", async () => {
  const device = await createWasmDevice({ host: nodeHost });
  const before = device.memory().used;
  expect(() => device.createCache(8, 128, 2 ** 21)).toThrow(/at most 524288 positions/);
  expect(() => device.createCache(8, 128, 2 ** 22)).toThrow(/at most 524288 positions/);
  expect(device.memory().used).toBe(before);
  await device.dispose();
});

it("refuses limits that hold nothing", () =>
  expect(createWasmDevice({ host: nodeHost, memoryLimit: 1000 })).rejects.toThrow(/memoryLimit/));
