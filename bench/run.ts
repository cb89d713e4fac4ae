/**
 * `npm run bench [-- --quick] [--threads 1,2] [--out FOLDER]`: what this machine can do, and what the library makes of it: prefill,
 * decoding and a head's training step on the CPU device, by weight type and threads. Prints tables; writes JSON, Markdown and SVG to
 * bench/reports, kernels and lossless decoding included (not with --quick). Other libraries on the same model: bench/peers.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDevice } from "early-exits/node";
import { timeHeadTraining } from "./head-training.js";
import { type InferenceTiming, instrumented, PROMPT, timeInference } from "./inference.js";
import { kernelTable, type KernelTiming, timeKernels } from "./kernels.js";
import { measureLimits } from "./limits.js";
import { losslessDefaults, losslessReport } from "./lossless.js";
import { describeMachine, machine } from "./measure.js";
import { benchShapes, randomModel } from "./models.js";
import { barChart, type Report, toMarkdown, writeReport } from "./report.js";

const { values: options } = parseArgs({ options: { quick: { type: "boolean", default: false }, threads: { type: "string", default: "1" }, out: { type: "string", default: fileURLToPath(new URL("reports", import.meta.url)) } } });
const threads = options.threads.split(",").map(Number);
const dtypes = ["float32", "bfloat16", "int8"] as const;
const where = machine();
console.error(describeMachine(where));
const limits = await measureLimits();
console.error(`limits, one thread: read ${limits.read.toFixed(1)} GB/s, multiply-add ${limits.multiplyAdd.toFixed(1)} GFLOP/s`);

interface Run extends InferenceTiming {
  readonly shape: string;
  readonly dtype: (typeof dtypes)[number];
  readonly threads: number;
}
const runs: Run[] = [];
for (const [shape, config] of Object.entries(benchShapes).slice(0, options.quick ? 1 : undefined)) {
  for (const count of threads) {
    for (const dtype of dtypes) {
      const device = await createDevice("wasm", { threads: count });
      const model = await randomModel(config, device, dtype);
      const plain = await timeInference(model, { value: 0 }, { rounds: options.quick ? 3 : 5 });
      model.dispose();
      // Timing every kernel costs time of its own: a second pass, for the share only.
      const kernelTime = { value: 0 };
      const watched = await randomModel(config, instrumented(device, kernelTime), dtype);
      const { overhead } = await timeInference(watched, kernelTime, { rounds: 2 });
      watched.dispose();
      await device.dispose();
      const run = { shape, dtype, threads: count, ...plain, overhead };
      runs.push(run);
      console.error(`${shape} ${dtype} ${count}t: prefill ${((1000 * PROMPT) / run.prefill.median).toFixed(0)}, decode ${(1000 / run.decode.median).toFixed(1)} tokens/s`);
    }
  }
}
const training = [];
for (const count of threads) {
  const device = await createDevice("wasm", { threads: count });
  training.push({ threads: count, timing: await timeHeadTraining(device) });
  await device.dispose();
}

const kernels: KernelTiming[] = [];
if (!options.quick) {
  const device = await createDevice("wasm");
  for await (const timing of timeKernels(device, limits)) kernels.push(timing);
  await device.dispose();
}

const baseline = (run: Run): Run => runs.find(({ shape, threads: count, dtype }) => shape === run.shape && count === run.threads && dtype === "float32")!;
const label = ({ shape, dtype, threads: count }: Run): string => `${shape} ${dtype} ${count}t`;
const spread = ({ decode }: Run): string => `${((100 * (decode.upperQuartile - decode.lowerQuartile)) / decode.median).toFixed(0)} %`;
const report: Report = {
  name: "inference", title: "Inference and head training on the CPU device", machine: where, data: { limits, runs, training, kernels },
  tables: [
    { title: "Limits of one thread", note: "Measured in the same run by the same WebAssembly.", columns: ["limit", "value"], rows: [["read beyond the caches, GB/s", limits.read], ["128-bit multiply-add, GFLOP/s", limits.multiplyAdd]] },
    {
      title: "Prefill and decoding", note: `Random weights, batch 1, a prompt of ${PROMPT} tokens, medians. "read" is the share of one thread's measured read bandwidth that the weights of a decoded token take; "outside kernels" the share of a decoded token's time not spent in them; the ratio is to float32 of the same shape and threads in this run.`,
      columns: ["model", "prefill tokens/s", "decode tokens/s", "spread", "ratio", "weights MB", "read", "outside kernels"],
      rows: runs.map((run) => [
        label(run), (1000 * PROMPT) / run.prefill.median, 1000 / run.decode.median, spread(run), baseline(run).decode.median / run.decode.median, run.weightBytes / 1e6,
        `${((100 * run.weightBytes) / run.decode.median / 1e6 / limits.read).toFixed(0)} %`, `${(100 * run.overhead).toFixed(0)} %`,
      ]),
    },
    { title: "Head training", note: "One step: 512 -> 8192, KL, batch 64, AdamW.", columns: ["threads", "ms", "quartiles"], rows: training.map(({ threads: count, timing }) => [count, timing.median, `${timing.lowerQuartile.toFixed(1)} to ${timing.upperQuartile.toFixed(1)}`]) },
    ...(kernels.length > 0 ? [kernelTable(kernels)] : []),
  ],
};
const chart = barChart(runs.map((run) => ({ label: label(run), value: 1000 / run.decode.median, group: run.dtype })), { title: "Decoding, tokens per second (median)", unit: "tokens/s" });
await writeReport(options.out, report, { "inference-decode": chart });
console.log(toMarkdown(report));
if (!options.quick) console.log(toMarkdown(await losslessReport({ ...losslessDefaults, out: options.out })));
