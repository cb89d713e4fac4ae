/**
 * Turns of the event loop: timers fire and signals abort while the library computes. If the loops awaited microtasks
 * alone, none of these timers would tick before the work is done.
 */
import {
  attachHeads,
  calibrate,
  createModel,
  evaluate,
  generate,
  generateBatch,
  loadModel,
  pretrain,
  trainHeads,
} from "early-exits";
import { createDevice } from "early-exits/node";
import { createRng } from "early-exits/tensor";
import { byteTokenizer } from "./support/byte-tokenizer.js";
import { byteLlama, smallCheckpoint, smallConfigs } from "./support/models.js";
import { memorySource, serializeModel, tokenStream } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { times } from "./support/lists.js";

/**
 * Ticks of a 1 ms timer in a second of this process's computing, at least; there are some 100. Seconds of computing,
 * not of the clock, because a busy machine may not run the process at all for most of the time.
 */
const TICKS = 20;
const endless = 1e6;
const rng = createRng(1);
const write = () =>
  times(200, () => times(300, () => String.fromCharCode(97 + Math.floor(26 * rng.uniform()))).join(""));
const documents = write();
const held = write();

const config = byteLlama({
  hiddenSize: 128,
  numLayers: 4,
  numHeads: 4,
  numKvHeads: 2,
  intermediateSize: 256,
  maxPositionEmbeddings: 4096,
});
const options = { device: await createDevice("wasm"), tokenizer: byteTokenizer() };
const fresh = createModel(config, { ...options, seed: 1 });
const model = await loadModel(config, memorySource(await serializeModel(fresh)), options);
const heads = attachHeads(model, { exits: [2] });

async function drain(tokens: AsyncIterable<unknown>) {
  const iterator = tokens[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

/** Work that takes seconds, if nothing stops it. */
const works: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
  "a generation": async (signal) => {
    const prompt = model.tokenizer.encode("a");
    await drain(generate(model, prompt, { maxNewTokens: 4000, stopAtEndOfText: false, signal }));
  },
  "the prefill of a long prompt": async (signal) => {
    const prompt = times(4000, (i) => i % 256);
    await drain(generate(model, prompt, { maxNewTokens: 1, signal }));
  },
  "a batch": async (signal) => {
    const options = { maxNewTokens: 2000, stopAtEndOfText: false, signal };
    await drain(generateBatch(model, ["a", "b", "c"], options));
  },
  "the training of heads": (signal) => trainHeads(heads, documents, { steps: endless, signal }),
  pretraining: async (signal) => {
    const shape = { hiddenSize: 64, numLayers: 2, numHeads: 4, numKvHeads: 4, intermediateSize: 128 };
    const fresh = createModel(byteLlama({ ...shape, maxPositionEmbeddings: 64 }), { ...options, seed: 1 });
    await pretrain(fresh, tokenStream(fresh, documents), { steps: endless, batchSize: 4, sequenceLength: 32, signal });
  },
  "a calibration": (signal) => calibrate(heads, held, { agreement: 0.5, signal }),
  "an evaluation": (signal) =>
    evaluate(
      model,
      documents.map((text) => ({ kind: "perplexity" as const, text })),
      { signal },
    ),
};

describe("turns of the event loop", () => {
  for (const [name, work] of Object.entries(works)) {
    it(`timers tick during ${name}, and a timeout ends it`, async () => {
      let ticks = 0;
      const ticking = setInterval(() => ticks++, 1);
      const started = process.cpuUsage();
      try {
        await expect(work(AbortSignal.timeout(200))).rejects.toThrow(/timeout/);
      } finally {
        clearInterval(ticking);
      }
      const { user, system } = process.cpuUsage(started);
      const seconds = (user + system) / 1e6;
      expect(ticks).toBeGreaterThan(TICKS * seconds);
    });
  }
});

it("loading ends with the reason of its signal, and leaves nothing on the device", async () => {
  const device = await createDevice("wasm", { threads: 1 });
  const config = smallConfigs["llama"]!;
  const source = memorySource(await smallCheckpoint(config));
  (await loadModel(config, source, { device })).dispose(); // the kernels' own rooms grow, and stay
  const used = device.memory!().used;
  const controller = new AbortController();
  const reason = new Error("enough");
  const onProgress = () => controller.abort(reason);
  const { signal } = controller;
  await expect(loadModel(config, source, { device, signal, onProgress })).rejects.toBe(reason);
  expect(device.memory!().used).toBe(used);
  await device.dispose();
});
