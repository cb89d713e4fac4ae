/** The tables of `npm run bench`: limits, prefill and decoding, and a head's training step. */
import type { WeightDtype } from "early-exits";
import { percent, quartiles, spread } from "../report/format.js";
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";
import { type InferenceTiming, PROMPT } from "./inference.js";
import type { Limits } from "./limits.js";
import type { Timing } from "./timing.js";

/** A device with its number of threads. */
export interface Place {
  readonly device: "wasm" | "gpu";
  readonly threads: number;
}

export interface InferenceRun extends InferenceTiming, Place {
  readonly shape: string;
  readonly dtype: WeightDtype;
}

export interface TrainingRun extends Place {
  readonly timing: Timing;
}

/** The GPU device that took part. */
interface GpuPart {
  readonly description: string;
  readonly hardware: boolean;
}

export function runLabel({ shape, dtype, device, threads }: InferenceRun): string {
  return device === "gpu" ? `${shape} ${dtype} gpu` : `${shape} ${dtype} ${threads}t`;
}

export function limitsTable({ read, multiplyAdd, integers }: Limits): Table {
  return {
    title: "Limits of one thread",
    note: "Measured in the same run by the same WebAssembly.",
    columns: ["limit", "value"],
    rows: [
      ["read beyond the caches, GB/s", read],
      ["128-bit multiply-add, GFLOP/s", multiplyAdd],
      ["128-bit products of integers, 10^9 per second", integers],
    ],
  };
}

export function inferenceTable(runs: readonly InferenceRun[], limits: Limits, gpu: GpuPart | undefined): Table {
  const baselineOf = (run: InferenceRun): InferenceRun =>
    runs.find(
      ({ shape, threads, device, dtype }) =>
        shape === run.shape && threads === run.threads && device === "wasm" && dtype === "float32",
    )!;
  return {
    title: "Prefill and decoding",
    note: prose`
      Random weights, batch 1, a prompt of ${PROMPT} tokens, medians. "read" is the rate at which decoding reads
      weights, as a share of the read bandwidth measured for one thread; "outside kernels" is the share of a decoded
      token's time that is not spent in kernels; the ratio is the decoding speed relative to the wasm device with
      float32 weights, the same shape and the same number of threads, in this run.${gpuNote(gpu)}`,
    columns: [
      "model",
      "device",
      "prefill tokens/s",
      "decode tokens/s",
      "spread",
      "ratio",
      "weights MB",
      "read",
      "outside kernels",
    ],
    rows: runs.map((run) => [
      `${run.shape} ${run.dtype}`,
      nameOf(run),
      (1000 * PROMPT) / run.prefill.median,
      1000 / run.decode.median,
      spread(run.decode),
      ratio(run, gpu, baselineOf(run).decode.median / run.decode.median),
      run.weightBytes / 1e6,
      run.device === "gpu" ? "" : percent(run.weightBytes / run.decode.median / 1e6 / limits.read, 0),
      run.device === "gpu" ? "" : percent(run.overhead, 0),
    ]),
  };
}

export function trainingTable(runs: readonly TrainingRun[], gpu: GpuPart | undefined): Table {
  return {
    title: "Head training",
    note: prose`
      One step: 512 -> 8192, KL, batch 64, AdamW, and reading the loss back; the ratio is relative to the first
      row.${gpuNote(gpu)}`,
    columns: ["device", "ms", "quartiles", "ratio"],
    rows: runs.map((run) => [
      nameOf(run),
      run.timing.median,
      quartiles(run.timing, 1),
      ratio(run, gpu, runs[0]!.timing.median / run.timing.median),
    ]),
  };
}

const nameOf = ({ device, threads }: Place): string =>
  device === "gpu" ? "gpu" : `wasm, ${threads} thread${threads === 1 ? "" : "s"}`;

/** A speed-up, if both sides ran on the hardware that they are named after. */
function ratio({ device }: Place, gpu: GpuPart | undefined, value: number): string | number {
  return device === "gpu" && gpu?.hardware === false ? "correctness only" : value;
}

function gpuNote(gpu: GpuPart | undefined): string {
  if (gpu === undefined) return "";
  const software =
    " Its programs run on the CPU here: these figures say that the code runs, and nothing about any GPU.";
  return ` The GPU device: ${gpu.description.replace("gpu: ", "")}.${gpu.hardware ? "" : software}`;
}
