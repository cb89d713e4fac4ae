/**
 * Whole models on WebGPU beside PyTorch's numbers and the CPU device's: logits, tokens, exits, training; and what a
 * long run leaves behind.
 */
import { attachHeads, createPolicy, generate, loadModel, type Model, serializeHeads, trainHeads } from "early-exits";
import { memorySource } from "early-exits/model";
import type { DecodeEvent } from "../../src/exits/decode/observe.js";
import { deserializeHeads } from "../../src/exits/heads/deserialize-heads.js";
import { readJson, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { freeRows } from "../../lab/check-lossless.js";
import type { GpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { devicesHere } from "../support/devices.js";
import { expectGolden } from "../support/golden.js";
import { generated } from "../support/generated.js";
import { byteLlama, smallCheckpoint } from "../support/models.js";
import { compareExits, SCORE } from "../support/same-exits.js";
import { webGpuHere, wish } from "./webgpu.js";
import { times } from "../support/lists.js";

/** Twelve blocks of float32 sums in another order than PyTorch's, and an exp of less precision. */
const LOGITS = 5e-4;

const gpu = await webGpuHere();
const { wasm: cpu } = await devicesHere();

it(`runs as WebGPU on a ${wish} adapter`, () => {
  expect(gpu.info).toMatchObject({ mode: "webgpu", kernelClass: "WebGPUKernel", hardware: wish === "hardware" });
  expect(gpu.info.description).toContain(gpu.info.adapter);
});

it.each(["gpt2-tiny", "gpt-neox-tiny", "llama-tiny-bf16-sharded", "gemma3-tiny", "olmo2-tiny"])(
  "golden checkpoints %s has PyTorch's logits, hidden states and greedy tokens",
  (name) => expectGolden(`test/golden/${name}`, gpu, LOGITS),
);

describe("sotu-6", async () => {
  const sotu = "models/sotu-6";
  const documents = (await readJson(`${sotu}/documents.json`)) as Record<"train" | "test", { text: string }[]>;
  const [train, test] = (["train", "test"] as const).map((part) => documents[part].map(({ text }) => text));
  const cpuModel = await readModel(sotu, { device: cpu });
  const onCpu = attachHeads(cpuModel, { exits: [2, 4] });
  await trainHeads(onCpu, train!, { steps: 40, batchSize: 4, sequenceLength: 64 });
  const { description, weights } = await serializeHeads(onCpu);
  const onGpu = await deserializeHeads(await readModel(sotu, { device: gpu }), description, weights);
  const held = cpuModel.tokenizer.encode(test!.map((text) => text.slice(0, 2000)).join("\n"));
  const prompts = times(20, (i) => held.slice(40 * i, 40 * i + 8 + i));

  it("leaves at the same exits as on the CPU, except if a score lies at its threshold", async () => {
    const thresholds = [2, 2.5]; // nats: some tokens leave at either exit, some at none
    const { decisions, close, parted, unexplained, depths } = await compareExits(onCpu, onGpu, prompts, { thresholds });
    console.info(
      `sotu-6, ${prompts.length} prompts: ${decisions} decisions, ${close} with a score within ${SCORE} of its ` +
        `threshold; ${parted} prompts parted there`,
    );
    expect(unexplained).toEqual([]);
    expect(parted).toBeLessThanOrEqual(close);
    expect(close / decisions, "decisions with a score at its threshold").toBeLessThan(0.01);
    expect(Array.from(depths.keys()).sort()).toEqual([2, 4, 6]);
  });

  it("reads back five numbers per decision of a head, three of the model, and nothing else", async () => {
    const before = gpu.counts();
    await generated(onGpu, prompts[0]!, { policy: createPolicy(onGpu, ["never", -1]), maxNewTokens: 5 });
    const after = gpu.counts();
    expect(after.reads - before.reads).toBe(2 * 5); // one exit that does not fire, and the full model
    expect(after.readBytes - before.readBytes).toBe(5 * (20 + 12));
  });

  it("verifies drafts by one small result per round, and writes the plain model's tokens", async () => {
    const plain = await generated(onGpu.model, prompts[1]!, { maxNewTokens: 20 });
    for (const { weights } of onGpu.heads) await weights.packed(); // reads them once
    let decisions = 0;
    let drafted = 0;
    let rounds = 0;
    const observer = {
      observe(event: DecodeEvent) {
        if (event.type === "exit") decisions++;
        else if (event.type === "round") {
          drafted += event.drafted;
          rounds++;
        }
      },
    };
    const before = gpu.counts();
    const { ids, summary } = await generated(onGpu, prompts[1]!, {
      maxNewTokens: 20,
      policy: createPolicy(onGpu, ["never", "always"]),
      lossless: { costs: freeRows },
      observer,
    });
    const after = gpu.counts();
    expect(ids).toEqual(plain.ids);
    expect(summary.accepted).toBeGreaterThan(0);
    expect(after.reads - before.reads).toBe(decisions + rounds);
    // five numbers per head, and three per verified row
    expect(after.readBytes - before.readBytes).toBe(20 * decisions + 12 * (drafted + rounds));
  });

  it("follows the CPU's loss while heads train for 50 steps", async () => {
    const losses = async (model: Model) => {
      const seen: number[] = [];
      await trainHeads(attachHeads(model, { exits: [2] }), train!.slice(0, 20), {
        steps: 50,
        batchSize: 2,
        sequenceLength: 24,
        maxGradientNorm: 1,
        seed: 2,
        onStep: ({ loss }) => seen.push(loss),
      });
      return seen;
    };
    const expected = await losses(onCpu.model);
    const found = await losses(onGpu.model);
    expect(expected.at(-1)!).toBeLessThan(0.9 * expected[0]!);
    found.forEach((loss, step) => expect(Math.abs(loss - expected[step]!), `step ${step + 1}`).toBeLessThan(1e-3));
  });
});

it("2,000 tokens compile no kernel after the first, upload no weights, and leave nothing behind", async () => {
  const config = byteLlama({
    hiddenSize: 16,
    numLayers: 1,
    numHeads: 2,
    numKvHeads: 1,
    intermediateSize: 24,
    maxPositionEmbeddings: 2100,
  });
  const model = await loadModel(config, memorySource(await smallCheckpoint(config)), { device: gpu });
  const decode = async (maxNewTokens: number, watch: (token: number) => void = () => undefined) => {
    let token = 0;
    for await (const { depth } of generate(model, [1, 2, 3], { maxNewTokens, stopAtEndOfText: false })) {
      expect(depth).toBe(1);
      watch(++token);
    }
  };
  await decode(70); // compiles, and makes rotary tables for 128 positions
  await gpu.read(gpu.upload([0]));
  const before = gpu.counts();
  const at: ReturnType<GpuDevice["counts"]>[] = [];
  await decode(2000, (token) => (token === 1100 || token === 2000 ? at.push(gpu.counts()) : undefined));
  await gpu.read(gpu.upload([0]));
  const [middle, end] = at as [typeof before, typeof before];
  const after = gpu.counts();
  expect(after.kernels).toBe(before.kernels);
  // a token's id, unless it is a recent one, and its position
  expect(end.uploadedBytes - middle.uploadedBytes).toBeLessThanOrEqual(900 * 2 * 4);
  expect(end.readBytes - middle.readBytes).toBe(900 * 12);
  expect(after.handles).toBe(before.handles + 1); // the upload that waited for the queue
  model.dispose();
});
