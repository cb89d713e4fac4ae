/**
 * Larger models and longer texts, beside llama.cpp on the same files:
 *   npm run bench:shapes -- [--shapes 135m,360m,1.7b] [--types q8_0,q4_0] [--contexts 128,576,2048,8192] [--threads 1]
 *                           [--caches float32] [--rounds 5] [--clock wall] [--work FOLDER] [--name llm-shapes]
 *                           [--out FOLDER] [--add]
 * Files have random weights (formats/random-model.ts) and are deleted afterwards. The largest shape takes two rounds at
 * most and no text of 8,192 tokens. Every way has a process of its own for each file and length of text, ours and
 * llama.cpp's in turns. Writes llm-shapes.md and llm-shapes.json (--name) to bench/reports.
 * --add keeps what the report of that name has, and adds rows to it and rounds to its rows: a long run in parts.
 */
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { CacheDtype } from "early-exits/tensor";
import { machine } from "../../../lab/report/machine.js";
import { toMarkdown, writeReport } from "../../../lab/report/report.js";
import { reportsFolder } from "../../../lab/report/script.js";
import { type RandomType, type ShapeName, writeRandomModel } from "../formats/random-model.js";
import { installedVersions } from "../versions.js";
import { limits, runJob } from "./jobs.js";
import { DECODED, type LlmJob, type LlmTiming } from "./protocol.js";
import { type Pair, shapesReport } from "./shapes-report.js";

const { values } = parseArgs({
  options: {
    shapes: { type: "string", default: "135m,360m,1.7b" },
    types: { type: "string", default: "q8_0,q4_0" },
    contexts: { type: "string", default: "128,576,2048,8192" },
    threads: { type: "string", default: "1" },
    caches: { type: "string", default: "float32" },
    rounds: { type: "string", default: "5" },
    /** `processor` counts its time, on a machine that has other work. */
    clock: { type: "string", default: "wall" },
    work: { type: "string", default: join(tmpdir(), "early-exits-shapes") },
    name: { type: "string", default: "llm-shapes" },
    out: { type: "string", default: reportsFolder },
    add: { type: "boolean", default: false },
  },
});
const list = (text: string): string[] => text.split(",").filter((name) => name !== "");
const caches = list(values.caches) as CacheDtype[];

const where = machine();
const pairs: Pair[] = [];
if (values.add) {
  const text = await readFile(join(values.out, `${values.name}.json`), "utf8");
  pairs.push(...(JSON.parse(text) as { readonly data: { readonly pairs: readonly Pair[] } }).data.pairs);
}
await mkdir(values.work, { recursive: true });
for (const shape of list(values.shapes) as ShapeName[]) {
  for (const type of list(values.types) as RandomType[]) {
    const path = join(values.work, `${shape}-${type}.gguf`);
    try {
      writeRandomModel(path, shape, type);
      await measureFile(path, shape, type);
    } finally {
      await rm(path, { force: true });
    }
    await writeSoFar();
  }
}

/** After each file, so that a run that is ended leaves what it has. */
async function writeSoFar(): Promise<void> {
  const report = shapesReport({ name: values.name, where, clock: values.clock, pairs });
  await writeReport(values.out, { ...report, data: { versions: await installedVersions(), ...report.data } });
  console.log(toMarkdown(report));
}

async function measureFile(path: string, shape: ShapeName, type: RandomType): Promise<void> {
  const large = shape === "1.7b";
  const fileBytes = (await stat(path)).size;
  const rows = list(values.contexts)
    .map(Number)
    .filter((context) => !large || context <= 2048)
    .flatMap((context) => caches.map((cache) => ({ context, cache })))
    .flatMap((row) => list(values.threads).map((threads) => ({ shape, type, threads: Number(threads), ...row })))
    .map((row) => {
      const known = pairs.find((pair) => Object.entries(row).every(([name, value]) => pair[name as "shape"] === value));
      if (known === undefined) pairs.push({ ...row, fileBytes, rounds: [] });
      return known ?? pairs.at(-1)!;
    });
  const rounds = Math.min(large ? 2 : Infinity, Number(values.rounds));
  for (let round = 0; round < rounds; round++) {
    for (const { context, cache, threads, rounds } of rows) {
      const job = { path, threads, vocabSize: 49_152, prompts: [context - DECODED], passes: 1, clock: values.clock };
      const ours = (): Promise<LlmTiming> => timed({ ...job, runtime: "ours", type: "stored", kvCache: cache });
      const theirs = (): Promise<LlmTiming> => timed({ ...job, runtime: "node-llama-cpp", type });
      const measured = { limits: await limits(values.clock) };
      if (round % 2 === 0) rounds.push({ ...measured, ours: await ours(), theirs: await theirs() });
      else rounds.push({ ...measured, theirs: await theirs(), ours: await ours() });
      console.error(`${shape} ${type}, ${context} tokens, ${cache}: round ${round + 1} measured`);
    }
  }
}

async function timed(job: LlmJob): Promise<LlmTiming> {
  const answer = await runJob(job);
  if (answer.kind === "timing") return answer;
  throw new Error(`bench:shapes: ${job.runtime}: ${JSON.stringify(answer)}`);
}
