/**
 * Limits of this machine, and the library's speed on it:
 *   npm run bench [-- --only PARTS] [--quick] [--threads 1,2] [--device wasm|gpu] [--adapter hardware|software]
 *                 [--model FOLDER --text FILE] [--out FOLDER]
 * Prints tables; writes JSON, Markdown and SVG to bench/reports. The parts:
 *   inference, training    prefill, decoding and a head's training step, by device, weight type and threads
 *   threads, kernels       threads beside a busy process, and every kernel against the limits, by threads (wasm device)
 *   speedup                exits on the embedded model, and on the one in FOLDER if given: own reports (speedup.ts)
 * `--quick` runs the first two, on one model. Inference, training, threads and kernels share a report if they run
 * together. `--device gpu` times the GPU device beside the wasm device's float32 on one thread. On a software adapter
 * its figures are marked "correctness only", one small model runs, and no speed-up is computed. Other libraries on the
 * same model: bench/peers.
 */
import { parseArgs } from "node:util";
import type { Device, WeightDtype } from "early-exits";
import { createDevice } from "early-exits/node";
import { weightDtypes } from "../src/tensor/device.js";
import { nodeHost } from "../src/node/host.js";
import { createGpuDevice } from "../src/tensor/gpu/gpu-device.js";
import { barChart } from "../lab/report/charts.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { type Report, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { benchShapes, randomModel } from "../lab/speed/models.js";
import {
  type InferenceRun,
  inferenceTable,
  limitsTable,
  runLabel,
  type TrainingRun,
  trainingTable,
} from "../lab/speed/inference-tables.js";
import { instrumented, PROMPT, timeInference } from "../lab/speed/inference.js";
import { kernelTables, type KernelTiming } from "../lab/speed/kernel-tables.js";
import { measureLimits } from "../lab/speed/limits.js";
import { threadTable, type ThreadTiming, timeThreads } from "../lab/speed/threads.js";
import { timeHeadTraining } from "../lab/speed/head-training.js";
import { timeKernels } from "../lab/speed/kernels.js";
import { speedupDefaults, speedupReport } from "../lab/speedup/speedup-report.js";

const PARTS = ["inference", "training", "threads", "kernels", "speedup"] as const;
type Part = (typeof PARTS)[number];
/** The parts that share a report, and those of them that the GPU device can run. */
const SHARED: readonly Part[] = PARTS.slice(0, 4);
const ON_GPU: readonly Part[] = PARTS.slice(0, 2);

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    model: { type: "string" },
    heads: { type: "string" },
    text: { type: "string" },
    quick: { type: "boolean", default: false },
    threads: { type: "string", default: "1" },
    device: { type: "string", default: "wasm" },
    adapter: { type: "string", default: "hardware" },
    out: { type: "string", default: reportsFolder },
  },
});

/** A device to be timed. */
interface Setup {
  readonly device: "wasm" | "gpu";
  readonly threads: number;
  readonly dtypes: readonly WeightDtype[];
  readonly open: () => Promise<Device>;
}

const adapter = options.adapter === "software" ? "software" : "hardware";
// The GPU device comes first, because without an adapter there is nothing to report.
const gpu = options.device === "gpu" ? await createGpuDevice({ adapter, host: nodeHost }) : undefined;
const software = gpu?.info.hardware === false;
const setups: readonly Setup[] =
  gpu === undefined
    ? options.threads.split(",").map((count) => wasm(Number(count), weightDtypes))
    : // The GPU device holds smaller weight types as float32.
      [wasm(1, ["float32"]), { device: "gpu", threads: 1, dtypes: ["float32"], open: () => Promise.resolve(gpu) }];
const parts = partsToRun();

const where = machine();
console.error(describeMachine(where));
const limits = await measureLimits();
console.error(
  `limits, one thread: read ${limits.read.toFixed(1)} GB/s, multiply-add ${limits.multiplyAdd.toFixed(1)} GFLOP/s`,
);

const runs = parts.includes("inference") ? await timeModels() : [];
const training = parts.includes("training") ? await timeTraining() : [];
await gpu?.dispose();
const counts = setups.map(({ threads }) => threads);
const besideOthers: ThreadTiming[] = parts.includes("threads") && counts.length > 1 ? await timeThreads(counts) : [];
const kernels = parts.includes("kernels") ? await timeAllKernels() : [];

if (parts.some((part) => SHARED.includes(part))) await writeSharedReport();
if (parts.includes("speedup")) {
  const { model, heads, text } = options;
  console.log(await speedupReport({ ...speedupDefaults, out: options.out }));
  if (model !== undefined) {
    console.log(await speedupReport({ ...speedupDefaults, out: options.out, model, heads, text }));
  }
}

function wasm(threads: number, dtypes: readonly WeightDtype[]): Setup {
  return { device: "wasm", threads, dtypes, open: () => createDevice("wasm", { threads }) };
}

/** Throws if `--only` names no part, or one that the device cannot run. */
function partsToRun(): readonly Part[] {
  const { only, quick } = options;
  if (only === undefined) return quick || gpu !== undefined ? ON_GPU : PARTS;
  return only.split(",").map((name) => {
    const part = PARTS.find((one) => one === name);
    if (part === undefined) throw new Error(`--only: no part "${name}"; there are ${PARTS.join(", ")}`);
    if (gpu !== undefined && !ON_GPU.includes(part)) {
      throw new Error(`--only: ${part} is measured on the wasm device only; leave out --device gpu`);
    }
    return part;
  });
}

/** Prefill and decoding of random models, on every setup and with every weight type. */
async function timeModels(): Promise<InferenceRun[]> {
  const timed: InferenceRun[] = [];
  const shapes = Object.entries(benchShapes).slice(0, options.quick || software ? 1 : undefined);
  for (const [shape, config] of shapes) {
    for (const { device: name, threads, dtypes, open } of setups) {
      for (const dtype of dtypes) {
        const device = await open();
        const model = await randomModel(config, device, dtype);
        const plain = await timeInference(model, { value: 0 }, { rounds: software ? 1 : options.quick ? 3 : 5 });
        model.dispose();
        // Timing every kernel takes time, so the share outside kernels comes from a second pass. It is unknown on a
        // GPU, whose kernels are not done when they return.
        const overhead = name === "wasm" ? await timeOverhead(config, device, dtype) : NaN;
        if (name === "wasm") await device.dispose();
        const run: InferenceRun = { shape, device: name, dtype, threads, ...plain, overhead };
        timed.push(run);
        console.error(
          `${runLabel(run)}: prefill ${((1000 * PROMPT) / run.prefill.median).toFixed(0)}, ` +
            `decode ${(1000 / run.decode.median).toFixed(1)} tokens/s`,
        );
      }
    }
  }
  return timed;
}

async function timeOverhead(
  config: Readonly<Record<string, unknown>>,
  device: Device,
  dtype: WeightDtype,
): Promise<number> {
  const kernelTime = { value: 0 };
  const watched = await randomModel(config, instrumented(device, kernelTime), dtype);
  const { overhead } = await timeInference(watched, kernelTime, { rounds: 2 });
  watched.dispose();
  return overhead;
}

async function timeTraining(): Promise<TrainingRun[]> {
  const timed: TrainingRun[] = [];
  for (const { device: name, threads, open } of setups) {
    const device = await open();
    const timing = await timeHeadTraining(device, software ? { time: 0, iterations: 3, warmup: 1 } : {});
    timed.push({ device: name, threads, timing });
    if (name === "wasm") await device.dispose();
  }
  return timed;
}

async function timeAllKernels(): Promise<KernelTiming[]> {
  const timed: KernelTiming[] = [];
  for (const { open } of setups) {
    const device = await open();
    for await (const timing of timeKernels(device, limits)) timed.push(timing);
    await device.dispose();
  }
  return timed;
}

/** The report of inference, training, threads and kernels: the tables of those that ran. */
async function writeSharedReport(): Promise<void> {
  const report: Report = {
    name: gpu === undefined ? "inference" : "inference-gpu",
    title:
      gpu === undefined
        ? "Inference and head training on the CPU device"
        : `Inference and head training on the GPU device${software ? " (software adapter: correctness only)" : ""}`,
    machine: where,
    data: { limits, gpu: gpu?.info, runs, training, besideOthers, kernels },
    tables: [
      limitsTable(limits),
      ...(runs.length > 0 ? [inferenceTable(runs, limits, gpu?.info)] : []),
      ...(training.length > 0 ? [trainingTable(training, gpu?.info)] : []),
      ...(besideOthers.length > 0 ? [threadTable(besideOthers)] : []),
      ...(kernels.length > 0 ? kernelTables(kernels) : []),
    ],
  };
  const chart = barChart(
    runs.map((run) => ({ label: runLabel(run), value: 1000 / run.decode.median, group: run.dtype })),
    { title: "Decoding, tokens per second (median)", unit: "tokens/s" },
  );
  await writeReport(options.out, report, gpu === undefined && runs.length > 0 ? { "inference-decode": chart } : {});
  console.log(toMarkdown(report));
}
