/**
 * `npm run bench [-- --only PARTS] [--quick] [--threads 1,2] [--device wasm|gpu] [--adapter hardware|software] [--model
 * FOLDER --text FILE] [--out FOLDER]`: what this machine can do, and what the library makes of it. Prints tables;
 * writes JSON, Markdown and SVG to bench/reports. The parts:
 *   inference, training    prefill, decoding and a head's training step, by device, weight type and threads
 *   threads, kernels       threads beside a busy process, and every kernel against the limits, by threads (wasm device)
 *   speedup                what exits bring to the embedded model, and to the one in FOLDER if given: reports of their own (speedup.ts)
 *   lossless               a report of its own (lossless.ts)
 * `--quick` makes the first two, on one model. Inference, training, threads and kernels that are made together share a
 * report. `--device gpu` times the GPU device beside the wasm device's float32 on one thread. On a software adapter its
 * figures are marked "correctness only", one small model runs, and no speedup is computed. Other libraries on the same
 * model: bench/peers.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Device, WeightDtype } from "early-exits";
import { createDevice } from "early-exits/node";
import { nodeHost } from "../src/node/index.js";
import { createGpuDevice } from "../src/tensor/gpu/index.js";
import {
  benchShapes,
  fewRowsTable,
  type InferenceTiming,
  instrumented,
  kernelTable,
  type KernelTiming,
  measureLimits,
  PROMPT,
  randomModel,
  threadTable,
  type ThreadTiming,
  timeHeadTraining,
  timeInference,
  timeKernels,
  timeThreads,
  type Timing,
} from "../lab/speed/index.js";
import { losslessDefaults, losslessReport } from "./lossless.js";
import { barChart, describeMachine, machine, type Report, toMarkdown, writeReport } from "../lab/report/index.js";
import { speedupDefaults, speedupReport } from "./speedup.js";

const PARTS = ["inference", "training", "threads", "kernels", "speedup", "lossless"] as const;
/** Those that share a report. */
const SHARED = PARTS.slice(0, 4);
type Part = (typeof PARTS)[number];

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
    out: { type: "string", default: fileURLToPath(new URL("reports", import.meta.url)) },
  },
});

/** A device as it is timed. */
interface Setup {
  readonly device: "wasm" | "gpu";
  readonly threads: number;
  readonly dtypes: readonly WeightDtype[];
  readonly open: () => Promise<Device>;
}
const wasm = (threads: number, dtypes: readonly WeightDtype[]): Setup => ({
  device: "wasm",
  threads,
  dtypes,
  open: () => createDevice("wasm", { threads }),
});
const adapter = options.adapter === "software" ? "software" : "hardware";
// first: without an adapter there is nothing to report
const gpu = options.device === "gpu" ? await createGpuDevice({ adapter, host: nodeHost }) : undefined;
const setups: readonly Setup[] =
  gpu === undefined
    ? options.threads.split(",").map((count) => wasm(Number(count), ["float32", "bfloat16", "int8"]))
    : // smaller types are held as float32 there
      [wasm(1, ["float32"]), { device: "gpu", threads: 1, dtypes: ["float32"], open: () => Promise.resolve(gpu) }];
const parts = (
  options.only?.split(",") ?? (options.quick ? PARTS.slice(0, 2) : gpu === undefined ? PARTS : PARTS.slice(0, 2))
).map((name): Part => {
  const part = PARTS.find((one) => one === name);
  if (part === undefined) throw new Error(`--only: no part "${name}"; there are ${PARTS.join(", ")}`);
  if (gpu !== undefined && !PARTS.slice(0, 2).includes(part)) {
    throw new Error(`--only: ${part} is measured on the wasm device only`);
  }
  return part;
});
const software = gpu?.info.hardware === false;
const where = machine();
console.error(describeMachine(where));
const limits = await measureLimits();
console.error(
  `limits, one thread: read ${limits.read.toFixed(1)} GB/s, multiply-add ${limits.multiplyAdd.toFixed(1)} GFLOP/s`,
);

interface Run extends InferenceTiming {
  readonly shape: string;
  readonly device: "wasm" | "gpu";
  readonly dtype: WeightDtype;
  readonly threads: number;
}
const runs: Run[] = [];
const label = ({ shape, device, dtype, threads }: Pick<Run, "shape" | "device" | "dtype" | "threads">): string =>
  device === "gpu" ? `${shape} ${dtype} gpu` : `${shape} ${dtype} ${threads}t`;
for (const [shape, config] of Object.entries(benchShapes).slice(
  0,
  !parts.includes("inference") ? 0 : options.quick || software ? 1 : undefined,
)) {
  for (const { device: name, threads, dtypes, open } of setups) {
    for (const dtype of dtypes) {
      const device = await open();
      const model = await randomModel(config, device, dtype);
      const plain = await timeInference(model, { value: 0 }, { rounds: software ? 1 : options.quick ? 3 : 5 });
      model.dispose();
      // Timing every kernel costs time of its own: a second pass, for the share only. A GPU's kernels are not done when
      // they return.
      let overhead = NaN;
      if (name === "wasm") {
        const kernelTime = { value: 0 };
        const watched = await randomModel(config, instrumented(device, kernelTime), dtype);
        ({ overhead } = await timeInference(watched, kernelTime, { rounds: 2 }));
        watched.dispose();
        await device.dispose();
      }
      const run = { shape, device: name, dtype, threads, ...plain, overhead };
      runs.push(run);
      console.error(
        `${label(run)}: prefill ${((1000 * PROMPT) / run.prefill.median).toFixed(0)}, ` +
          `decode ${(1000 / run.decode.median).toFixed(1)} tokens/s`,
      );
    }
  }
}
const training: { readonly device: "wasm" | "gpu"; readonly threads: number; readonly timing: Timing }[] = [];
for (const { device: name, threads, open } of parts.includes("training") ? setups : []) {
  const device = await open();
  training.push({
    device: name,
    threads,
    timing: await timeHeadTraining(device, software ? { time: 0, iterations: 3, warmup: 1 } : {}),
  });
  if (name === "wasm") await device.dispose();
}
await gpu?.dispose();

const counts = setups.map(({ threads }) => threads);
const besideOthers: ThreadTiming[] = parts.includes("threads") && counts.length > 1 ? await timeThreads(counts) : [];

const kernels: KernelTiming[] = [];
for (const { open } of parts.includes("kernels") ? setups : []) {
  const device = await open();
  for await (const timing of timeKernels(device, limits)) kernels.push(timing);
  await device.dispose();
}

const baseline = (run: Run): Run =>
  runs.find(
    ({ shape, threads, device, dtype }) =>
      shape === run.shape && threads === run.threads && device === "wasm" && dtype === "float32",
  )!;
/** A speedup, where the two ran on what they are called. */
const ratio = (of: Pick<Run, "device">, time: number, base: number): string | number =>
  of.device === "gpu" && software ? "correctness only" : base / time;
const spread = ({ decode }: Run): string =>
  `${((100 * (decode.upperQuartile - decode.lowerQuartile)) / decode.median).toFixed(0)} %`;
const deviceOf = ({ device, threads }: Pick<Run, "device" | "threads">): string =>
  device === "gpu" ? "gpu" : `wasm, ${threads} thread${threads === 1 ? "" : "s"}`;
const caution =
  gpu === undefined
    ? ""
    : " The GPU device:" +
      ` ${gpu.info.description.replace("gpu: ", "")}.${software ? " Its programs run on the CPU here: these figures say that the code runs, and nothing about any GPU." : ""}`;
const report: Report = {
  name: gpu === undefined ? "inference" : "inference-gpu",
  title:
    gpu === undefined
      ? "Inference and head training on the CPU device"
      : `Inference and head training on the GPU device${software ? " (software adapter: correctness only)" : ""}`,
  machine: where,
  data: { limits, gpu: gpu?.info, runs, training, besideOthers, kernels },
  tables: [
    {
      title: "Limits of one thread",
      note: "Measured in the same run by the same WebAssembly.",
      columns: ["limit", "value"],
      rows: [
        ["read beyond the caches, GB/s", limits.read],
        ["128-bit multiply-add, GFLOP/s", limits.multiplyAdd],
      ],
    },
    ...(runs.length > 0
      ? [
          {
            title: "Prefill and decoding",
            note:
              `Random weights, batch 1, a prompt of ${PROMPT} tokens, medians. "read" is the share of one ` +
              `thread's measured read bandwidth that the weights of a decoded token take; "outside kernels" the ` +
              "share of a decoded token's time not spent in them; the ratio is of decoding, to the wasm device's " +
              `float32 of the same shape and threads in this run.${caution}`,
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
              deviceOf(run),
              (1000 * PROMPT) / run.prefill.median,
              1000 / run.decode.median,
              spread(run),
              ratio(run, run.decode.median, baseline(run).decode.median),
              run.weightBytes / 1e6,
              ...(run.device === "gpu"
                ? ["", ""]
                : [
                    `${((100 * run.weightBytes) / run.decode.median / 1e6 / limits.read).toFixed(0)} %`,
                    `${(100 * run.overhead).toFixed(0)} %`,
                  ]),
            ]),
          },
        ]
      : []),
    ...(training.length > 0
      ? [
          {
            title: "Head training",
            note:
              "One step: 512 -> 8192, KL, batch 64, AdamW, the loss read back; the ratio is to the first " +
              `row.${caution}`,
            columns: ["device", "ms", "quartiles", "ratio"],
            rows: training.map((row) => [
              deviceOf(row),
              row.timing.median,
              `${row.timing.lowerQuartile.toFixed(1)} to ${row.timing.upperQuartile.toFixed(1)}`,
              ratio(row, row.timing.median, training[0]!.timing.median),
            ]),
          },
        ]
      : []),
    ...(besideOthers.length > 0 ? [threadTable(besideOthers)] : []),
    ...(kernels.length > 0 ? [fewRowsTable(kernels), kernelTable(kernels)] : []),
  ],
};
if (parts.some((part) => SHARED.includes(part))) {
  const chart = barChart(
    runs.map((run) => ({ label: label(run), value: 1000 / run.decode.median, group: run.dtype })),
    { title: "Decoding, tokens per second (median)", unit: "tokens/s" },
  );
  await writeReport(options.out, report, gpu === undefined && runs.length > 0 ? { "inference-decode": chart } : {});
  console.log(toMarkdown(report));
}
if (parts.includes("speedup")) {
  console.log(await speedupReport({ ...speedupDefaults, out: options.out }));
  const { model, heads, text } = options;
  if (model !== undefined) {
    console.log(await speedupReport({ ...speedupDefaults, out: options.out, model, heads, text }));
  }
}
if (parts.includes("lossless")) {
  console.log(toMarkdown(await losslessReport({ ...losslessDefaults, out: options.out })));
}
