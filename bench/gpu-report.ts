/**
 * `npm run gpu-report [-- --adapter software]`: everything about the GPU device on this machine in one command. Runs the GPU suite (kernel laws,
 * traps, whole models) on the adapter, then times prefill, decoding and a head's training step beside the CPU device in the same run,
 * and writes adapter, driver and figures to bench/reports/gpu-<adapter>.md and .json. On a software adapter the figures are those of a
 * rasteriser on the CPU: they are marked "correctness only", the model is small, and no speedup is computed from them.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Adamw, backward, createRng, type Device, klDivergence, linear, mean, type Model, scope, Tensor } from "early-exits";
import { createDevice, readModel } from "early-exits/node";
import { nodeHost } from "../src/node/host.js";
import { createGpuDevice } from "../src/tensor/gpu/gpu-device.js";
import { type InferenceTiming, timeInference } from "./inference.js";
import { describeMachine, machine, type Timing, timingOf } from "./measure.js";
import { benchShapes, randomModel } from "./models.js";
import { toMarkdown, writeReport } from "./report.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({ options: { adapter: { type: "string", default: "hardware" }, out: { type: "string", default: `${root}bench/reports` } } });
const adapter = options.adapter === "software" ? "software" : "hardware";

// The adapter first: without one there is nothing to report, and the error says so.
const gpu = await createGpuDevice({ adapter, host: nodeHost });
const where = machine();
console.error(`${describeMachine(where)}\n${gpu.info.description}`);

console.error("the GPU suite:");
const suite = spawnSync("npx", ["vitest", "run", "--config", "vitest.gpu.config.ts"], { cwd: root, env: { ...process.env, GPU_ADAPTER: adapter }, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 26 });
const summary = suite.stdout.replace(/\u001B\[\d+m/g, "").split("\n").filter((line) => /^\s*(?:Tests|Test Files) /.test(line)).map((line) => line.trim().replace(/\s+/g, " ")).join("; ");
console.error(summary);
if (suite.status !== 0) console.error(suite.stdout);

interface Row extends InferenceTiming {
  readonly model: string;
  readonly device: string;
  readonly dispatches: number | undefined;
}

const hardware = gpu.info.hardware;
const cpu = await createDevice("wasm");
const models: readonly (readonly [string, (device: Device) => Promise<Model>])[] = hardware
  ? Object.entries(benchShapes).map(([name, config]) => [`${name}, random weights`, (device) => randomModel(config, device)])
  : [["sotu-6, 0.7M", (device) => readModel(`${root}models/sotu-6`, { device })]];
const rows: Row[] = [];
for (const [name, load] of models) {
  for (const device of [cpu, gpu]) {
    const model = await load(device);
    const before = gpu.counts().dispatches;
    const rounds = hardware ? 5 : 1;
    const timing = await timeInference(model, { value: 0 }, { rounds });
    rows.push({ model: name, device: device.backend, ...timing, dispatches: device === gpu ? (gpu.counts().dispatches - before) / ((rounds + 1) * 49) : undefined });
    model.dispose();
    console.error(`${name}, ${device.backend}: decode ${timing.decode.median.toFixed(2)} ms`);
  }
}
const training = [await timeTraining(cpu), await timeTraining(gpu)] as const;
const counts = gpu.counts();
await gpu.dispose();
await cpu.dispose();

const ratio = (of: number, to: number): string => (hardware ? (to / of).toFixed(2) : "correctness only");
const same = ({ model }: Row): Row => rows.find((row) => row.model === model && row.device === "wasm")!;
const slug = gpu.info.adapter.replace(/ \(.*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, ""); // the card, without its driver
const caution = hardware ? "Medians; the ratio is to the wasm device (one thread) in this run, above 1 is faster." : "A software adapter: the GPU's programs run on the CPU. These figures say that the code runs, and nothing about any GPU.";
const report = {
  name: `gpu-${slug}`, title: `The GPU device on ${gpu.info.adapter}${hardware ? "" : " (software adapter: correctness only)"}`, machine: where,
  data: { info: gpu.info, suite: { passed: suite.status === 0, summary }, rows, training, counts },
  tables: [
    {
      title: "Adapter and tests", note: "As the driver names it; the class is what gpu.js compiled every kernel to.", columns: ["", ""],
      rows: [["adapter", gpu.info.adapter], ["kind", hardware ? "hardware" : "software"], ["kernels", gpu.info.kernelClass], ["bytes per array", String(gpu.info.maxBytes)], ["GPU suite", `${suite.status === 0 ? "passed" : "FAILED"}: ${summary}`]],
    },
    {
      title: "Prefill and decoding", note: `${caution} Batch 1, a prompt of 128 tokens.`, columns: ["model", "device", "prefill ms", "decode ms per token", "spread", "dispatches per token", "decode, wasm / this"],
      rows: rows.map((row) => [
        row.model, row.device, row.prefill.median, row.decode.median, `${((100 * (row.decode.upperQuartile - row.decode.lowerQuartile)) / row.decode.median).toFixed(0)} %`,
        row.dispatches === undefined ? "" : Math.round(row.dispatches), row.device === "wasm" ? "1" : ratio(row.decode.median, same(row).decode.median),
      ]),
    },
    {
      title: "Head training", note: `${caution} One step, 256 -> 2048, KL, batch 64, AdamW, the loss read back.`, columns: ["device", "ms", "wasm / this"],
      rows: [["wasm", training[0].median, "1"], ["gpu", training[1].median, ratio(training[1].median, training[0].median)]],
    },
  ],
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
process.exitCode = suite.status ?? 1;

/** A step ends when its loss has been read: a GPU's work is asynchronous. */
async function timeTraining(device: Device): Promise<Timing> {
  const rng = createRng(1);
  const random = (shape: readonly [number, number], width: number, requiresGrad = false): Tensor =>
    Tensor.from(device, Float32Array.from({ length: shape[0] * shape[1] }, () => width * rng.normal()), shape, { requiresGrad });
  const [states, teacher, head] = [random([64, 256], 1), random([64, 2048], 2), random([2048, 256], 1 / 16, true)];
  const optimizer = new Adamw([head]);
  const samples: number[] = [];
  for (let step = -2; step < (hardware ? 20 : 3); step++) {
    const started = performance.now();
    const loss = scope(() => {
      const value = mean(klDivergence(teacher, linear(states, head)));
      backward(value);
      return value;
    });
    await optimizer.step(1e-4);
    await loss.read();
    loss.dispose();
    if (step >= 0) samples.push(performance.now() - started);
  }
  optimizer.dispose();
  for (const tensor of [states, teacher, head]) tensor.dispose();
  return timingOf(samples);
}
