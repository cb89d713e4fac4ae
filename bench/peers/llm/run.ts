/**
 * A real model on this library, on llama.cpp, and with --onnx on onnxruntime, in one run:
 *   npm run bench:llm -- MODEL [--threads 1,2] [--rounds 5] [--passes 2] [--ours LIST] [--peers LIST] [--work FOLDER]
 *                              [--onnx] [--engine NAME=PATH] [--name llm] [--out FOLDER]
 * MODEL is a GGUF file. The types that llama.cpp runs are written from it (formats/requantize.ts), and onnxruntime runs
 * its export in float32, so every runtime has the same model. Ours is a list of weight types; @NAME after one asks for
 * another Node (--engine node20=/path/to/node and int8@node20).
 * In each round every way of running it has a process of its own, one after another; every second round goes backwards.
 * A ratio compares two ways in the same round. Writes llm.md and llm.json (--name) to bench/reports.
 */
import { execFileSync } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { exportOnnx, writeExport } from "early-exits/export";
import { modelDtypes } from "early-exits/model";
import { createDevice, readModel } from "early-exits/node";
import { machine } from "../../../lab/report/machine.js";
import { reportsFolder } from "../../../lab/report/script.js";
import { toMarkdown, writeReport } from "../../../lab/report/report.js";
import type { GgufType } from "../formats/gguf.js";
import { headerOf } from "../formats/requantize.js";
import { writeTypes } from "../formats/write-types.js";
import { installedVersions } from "../versions.js";
import { limits, runJob } from "./jobs.js";
import { labelOf, type LlmJob, type LlmTiming, partsOf, PROMPTS, type Way } from "./protocol.js";
import { llmReport, type Measured } from "./report.js";

const peerTypes = ["f32", "bf16", "q8_0", "q4_0", "q4_1"] as const satisfies readonly GgufType[];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "5" },
    passes: { type: "string", default: "2" },
    ours: { type: "string", default: modelDtypes.join(",") },
    peers: { type: "string", default: peerTypes.join(",") },
    onnx: { type: "boolean", default: false },
    engine: { type: "string", multiple: true, default: [] },
    work: { type: "string", default: join(tmpdir(), "early-exits-peers") },
    name: { type: "string", default: "llm" },
    out: { type: "string", default: reportsFolder },
  },
});
const [model] = positionals;
if (model === undefined) throw new Error("bench:llm: a model is missing; usage: npm run bench:llm -- FILE.gguf");

const where = machine();
const path = resolve(model);
const file = await readFile(path);
const vocabSize = headerOf(file).tensors.get("token_embd.weight")!.shape[0]!;
const list = (text: string): string[] => text.split(",").filter((name) => name !== "");
const threads = list(values.threads).map(Number);
const files = await writeTypes(path, list(values.peers) as GgufType[], values.work);

const onnx = values.onnx ? await writeOnnx() : undefined;
const engines = new Map(values.engine.map((given) => [given.split("=")[0]!, given.split("=")[1]!]));
const ways: Way[] = threads.flatMap((count) => [
  ...list(values.ours).map((type) => ({ runtime: "ours", type, threads: count }) as const),
  ...[...files.keys()].map((type) => ({ runtime: "node-llama-cpp", type, threads: count }) as const),
  ...(onnx === undefined ? [] : [{ runtime: "onnxruntime-node", type: "f32", threads: count } as const]),
]);
const timings = new Map<Way, LlmTiming[]>(ways.map((way) => [way, []]));
const failures = new Map<Way, string>();
const bandwidths = new Map<number, number[]>(threads.map((count) => [count, []]));
const products: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  for (const count of threads) bandwidths.get(count)!.push(await readTogether(count));
  products.push((await limits()).products);
  for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
    if (failures.has(way)) continue;
    const answer = await runJob(jobOf(way), engineOf(way));
    if (answer.kind === "timing") timings.get(way)!.push(answer);
    else failures.set(way, answer.kind === "failed" ? answer.reason : "no timing");
    console.error(`round ${round + 1}: ${labelOf(way)}: ${failures.get(way) ?? "measured"}`);
  }
}

const measured: Measured[] = ways.map((way) => ({ way, timings: timings.get(way)!, failure: failures.get(way) }));
const versions = new Map(
  [...engines].map(([name, path]) => [name, execFileSync(path, ["--version"], { encoding: "utf8" }).trim()]),
);
const report = llmReport({
  where,
  engines: versions,
  model: basename(path),
  fileBytes: file.length,
  measured,
  bandwidths,
  products,
});
await writeReport(values.out, {
  ...report,
  name: values.name,
  data: { versions: await installedVersions(), ...report.data },
});
console.log(toMarkdown(report));

function jobOf(way: Way): LlmJob {
  return { ...way, path: fileOf(way), vocabSize, prompts: PROMPTS, passes: Number(values.passes) };
}

function fileOf({ runtime, type }: Way): string {
  if (runtime === "ours") return path;
  return runtime === "onnxruntime-node" ? onnx! : files.get(type as GgufType)!;
}

/** Exports the model in float32, and returns the folder. */
async function writeOnnx(): Promise<string> {
  const folder = join(values.work, "onnx");
  await rm(folder, { recursive: true, force: true });
  const device = await createDevice("wasm");
  await writeExport(folder, await exportOnnx(await readModel(path, { device, dtype: "float32" })));
  await device.dispose();
  return folder;
}

/** Bytes per second that this many processes read together. */
async function readTogether(count: number): Promise<number> {
  const found = await Promise.all(Array.from({ length: count }, () => limits()));
  return found.reduce((sum, { read }) => sum + read, 0);
}

/** The Node that runs a way; this one unless the way names another. */
function engineOf({ type }: Way): string {
  const { engine } = partsOf(type);
  if (engine === undefined) return process.execPath;
  const path = engines.get(engine);
  if (path === undefined) throw new Error(`bench:llm: ${type}: say where it is: --engine ${engine}=/path/to/node`);
  return path;
}
