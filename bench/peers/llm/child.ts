/** The process that loads and runs the model one way, or measures a limit: load times and peak memory are its own. */
import "./clock.js";
import { existsSync, readFileSync } from "node:fs";
import { allWeights, type ModelDtype } from "../../../src/model/index.js";
import { cacheBytesPerPosition } from "../../../src/model/sequence.js";
import { measureLimits } from "../../../lab/speed/limits.js";
import { createDevice, readModel } from "early-exits/node";
import { PackedMatrix } from "early-exits/tensor";
import type { PeerSession } from "../peer.js";
import { openLlama } from "../runtimes/node-llama-cpp.js";
import { openOnnxExport } from "../runtimes/onnx-export.js";
import { sessionOf } from "../runtimes/ours.js";
import { median } from "../statistics.js";
import { DECODED, type LlmAnswer, type LlmJob, partsOf, UNTIMED } from "./protocol.js";

interface Opened {
  readonly session: PeerSession;
  readonly weights: number;
  readonly perToken: number;
  readonly products: number;
}

/**
 * The largest resident size of this process so far, in bytes. Linux counts it from the start of the program;
 * `resourceUsage` would begin with the size of the parent.
 */
function peak(): number {
  const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "";
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return 1024 * (found === undefined ? process.resourceUsage().maxRSS : Number(found));
}

/** Of llama.cpp, which otherwise cuts the text's beginning off at its end, and evaluates the rest anew. */
const SPARE = 64;

/** Positions that a session needs. */
const contextOf = ({ prompts }: LlmJob): number => DECODED + Math.max(...prompts);

async function openOurs(job: LlmJob): Promise<Opened> {
  const { path, type, threads, kvCache = "float32" } = job;
  const { dtype } = partsOf(type);
  const device = await createDevice("wasm", { threads });
  const model = await readModel(path, { device, dtype: dtype as ModelDtype, kvCache });
  const { embedding, unembedding } = model.weights;
  const read = allWeights(model.weights).filter((weight) => weight !== embedding || embedding === unembedding.weight);
  const weights = read.reduce((sum, weight) => sum + (weight instanceof PackedMatrix ? weight.storage.bytes : 0), 0);
  const products = allWeights(model.weights)
    .filter((weight) => weight !== embedding && weight !== unembedding.weight)
    .reduce((sum, weight) => sum + (isInteger(weight) ? weight.storage.rows * weight.storage.columns : 0), 0);
  const perToken = cacheBytesPerPosition(model.config, kvCache);
  return { session: sessionOf(model, contextOf(job)), weights, perToken, products };
}

function isInteger(weight: unknown): weight is PackedMatrix {
  return weight instanceof PackedMatrix && weight.storage.dtype.startsWith("int");
}

async function openPeer(job: LlmJob): Promise<Opened> {
  const { runtime, path, threads } = job;
  const session =
    runtime === "onnxruntime-node"
      ? await openOnnxExport(path, threads)
      : await openLlama({ path, threads, contextSize: contextOf(job) + SPARE });
  return { session, weights: 0, perToken: 0, products: 0 };
}

/** Loads, answers once, then times passes: every prompt, and decoding after the first. */
async function time(job: LlmJob): Promise<LlmAnswer> {
  if (job.runtime === "node-llama-cpp") await import("node-llama-cpp");
  if (job.runtime === "onnxruntime-node") await import("onnxruntime-node");
  const before = peak();
  const started = performance.now();
  const { session, weights, perToken, products } = await (job.runtime === "ours" ? openOurs(job) : openPeer(job));
  const load = performance.now() - started;
  const loaded = peak();
  const prompts = job.prompts.map((length) => Array.from({ length }, (_, i) => (i * 7919 + 13) % job.vocabSize));
  await session.advance(prompts[0]!.slice(0, UNTIMED));
  const firstToken = performance.now() - started;

  const prefill: number[][] = prompts.map(() => []);
  const decode: number[] = [];
  for (let pass = -1; pass < job.passes; pass++) {
    for (const [p, prompt] of prompts.entries()) {
      await session.reset();
      const from = performance.now();
      let next = await session.advance(pass < 0 ? prompt.slice(0, UNTIMED) : prompt);
      const filled = performance.now();
      if (pass >= 0) prefill[p]!.push(filled - from);
      if (p > 0) continue;
      for (let i = 0; i < DECODED; i++) next = await session.advance([next]);
      if (pass >= 0) decode.push(performance.now() - filled);
    }
  }
  return {
    kind: "timing",
    info: session.info,
    load,
    firstToken,
    prefill: prefill.map(median),
    decode: median(decode),
    loaded,
    peak: peak(),
    added: peak() - before,
    weights,
    perToken,
    products,
  };
}

async function answer(job: LlmJob): Promise<LlmAnswer> {
  if (job.runtime !== "limits") return time(job);
  const { read, integers } = await measureLimits();
  return { kind: "limits", read: 1e9 * read, products: 1e9 * integers };
}

const given = JSON.parse(process.argv[2]!) as LlmJob;
const found = await answer(given).catch((error: unknown): LlmAnswer => ({
  kind: "failed",
  reason: error instanceof Error ? error.message : String(error),
}));
process.send!(found, () => process.exit(0));
