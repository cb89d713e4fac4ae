/**
 * The gain from threads, and their cost while another process occupies a core: decoding with a KV cache, batch 1, GPT-2
 * shape (the first of models.ts), tokens per second for each number of threads, alone and beside a busy loop, in
 * interleaved rounds. Part of `npm run bench`; alone: `npx tsx lab/speed/threads.ts [dtype] [rounds] [threads …]`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { generate, type Model, type WeightDtype } from "early-exits";
import { createDevice } from "early-exits/node";
import { isMain } from "../report/script.js";
import { machine } from "../report/machine.js";
import { prose } from "../report/prose.js";
import { quartiles } from "../report/format.js";
import { type Table, toMarkdown } from "../report/report.js";
import { drain, type Timing, timingOf } from "./timing.js";
import { benchShapes, randomModel } from "./models.js";

const PROMPT = 16;
const TOKENS = 96;
const CONDITIONS = ["alone", "beside a busy loop"] as const;

export interface ThreadTiming {
  readonly condition: (typeof CONDITIONS)[number];
  readonly threads: number;
  /** Milliseconds per token. */
  readonly decode: Timing;
  /** Speed relative to the first number of threads in the same round and condition. */
  readonly ratio: Timing;
  /** Cores that other processes kept busy during a run, median; near 0 alone. */
  readonly others: number;
}

interface Sample {
  readonly ms: number;
  readonly others: number;
}

/** Times every number of threads in turn, `rounds` times alone and as often beside a busy process. */
export async function timeThreads(
  threadCounts: readonly number[],
  { dtype = "float32", rounds = 5 }: { readonly dtype?: WeightDtype; readonly rounds?: number } = {},
): Promise<ThreadTiming[]> {
  const [config] = Object.values(benchShapes);
  const models: Model[] = [];
  for (const threads of threadCounts) {
    models.push(await randomModel(config!, await createDevice("wasm", { threads }), dtype));
  }
  for (const model of models) {
    for (let i = 0; i < 3; i++) await decode(model);
  }
  const samples = CONDITIONS.map(() => models.map<Sample[]>(() => []));
  for (let round = 0; round < rounds; round++) {
    for (const [c, condition] of CONDITIONS.entries()) {
      const loop = condition === "alone" ? undefined : spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" });
      if (loop !== undefined) await sleep(300);
      for (const [m, model] of models.entries()) samples[c]![m]!.push(await decode(model));
      if (loop !== undefined) {
        loop.kill("SIGKILL");
        await once(loop, "exit");
      }
    }
  }
  for (const { device } of models) await device.dispose();
  return CONDITIONS.flatMap((condition, c) =>
    samples[c]!.map((of, m) => ({
      condition,
      threads: threadCounts[m]!,
      decode: timingOf(of.map(({ ms }) => ms)),
      ratio: timingOf(of.map(({ ms }, round) => samples[c]![0]![round]!.ms / ms)),
      others: timingOf(of.map(({ others }) => others)).median,
    })),
  );
}

/** Times one generation. */
async function decode(model: Model): Promise<Sample> {
  const before = busyMs();
  const own = process.cpuUsage();
  const started = performance.now();
  const run = generate(
    model,
    Array.from({ length: PROMPT }, (_, i) => i + 1),
    { maxNewTokens: TOKENS, stopAtEndOfText: false },
  );
  await drain(run);
  const used = process.cpuUsage(own);
  const others = busyMs() - before - (used.user + used.system) / 1000;
  return { ms: 1000 / run.summary.tokensPerSecond, others: Math.max(0, others) / (performance.now() - started) };
}

/** Processor time that all processes have used, in milliseconds. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

/** The timings as a table of a report. */
export function threadTable(timings: readonly ThreadTiming[]): Table {
  return {
    title: "Threads beside a busy process",
    note: prose`
      Decoding ${TOKENS} tokens, GPT-2 shape, float32, alone and while another process keeps one of ${cpus().length}
      cores busy; medians of interleaved rounds. The ratio is relative to the first row of the same condition, round
      by round. One thread is the default.`,
    columns: ["condition", "threads", "tokens/s", "ratio", "quartiles", "cores others took"],
    rows: timings.map(({ condition, threads, decode: { median }, ratio, others }) => [
      condition,
      threads,
      1000 / median,
      ratio.median,
      quartiles(ratio),
      others.toFixed(1),
    ]),
  };
}

async function main([dtype = "float32", rounds = "5", ...counts]: readonly string[]): Promise<void> {
  const where = machine();
  const timings = await timeThreads(counts.length > 0 ? counts.map(Number) : [1, 2], {
    dtype: dtype as WeightDtype,
    rounds: Number(rounds),
  });
  const tables = [threadTable(timings)];
  console.log(toMarkdown({ name: "threads", title: `Threads, ${dtype}`, machine: where, data: timings, tables }));
}

if (isMain(import.meta.url)) await main(process.argv.slice(2));
