/**
 * Delays of a signal and a timer while SmolLM2-135M-Instruct works, and the report bench/reports/interrupt.md:
 *   npx tsx lab/soak/interrupt.ts [--rounds 5] [--model FILE] [--dtype int8] [--threads 2] [--out FOLDER]
 * Loading, generation, batches, training, fits, calibration and evaluation each run with `AbortSignal.timeout(50)`: how
 * long after the signal does the call end? Then each runs for a second beside an interval timer of 1 ms, whose ticks
 * count.
 * Exits with 1 if one takes more than 100 ms in all rounds, or has fewer than 50 ticks a second.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attachHeads, calibrate, evaluate, fitProjections, generate, generateBatch, trainHeads } from "early-exits";
import { fitMaps, fitPreviews } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import { createRng, type WeightDtype } from "early-exits/tensor";
import { machine } from "../report/machine.js";
import { prose } from "../report/prose.js";
import { reportsFolder } from "../report/script.js";
import { toMarkdown, writeReport } from "../report/report.js";

const smol = "../../../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    model: { type: "string", default: fileURLToPath(new URL(smol, import.meta.url)) },
    dtype: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    out: { type: "string", default: reportsFolder },
  },
});
const DELAY = 50;
const MOST_LATE = 100;
const LEAST_TICKS = 50;
const PROMPT = 512;

const where = machine();
const device = await createDevice("wasm", { threads: Number(values.threads) });
const dtype = values.dtype as WeightDtype;
const model = await readModel(values.model, { device, dtype });
const heads = attachHeads(model, { exits: [12], kind: "linear", dtype: "float32" });
const fitted = attachHeads(model, { exits: [21], kind: "linear", preview: true });
const rng = createRng(1);
const ids = (length: number): number[] => Array.from({ length }, () => rng.integer(model.config.vocabSize));
const documents = Array.from({ length: 64 }, () => ids(256));
const items = Array.from({ length: 64 }, (_, i) => ({
  kind: "perplexity" as const,
  text: `${"The river runs through the old town. ".repeat(20)}${i}`,
}));

await fitProjections(fitted, documents, { positions: 1024 });

interface Work {
  readonly name: string;
  /** Longer than a second, unless the signal ends it. */
  readonly run: (signal: AbortSignal) => Promise<unknown>;
}

async function drain(tokens: AsyncIterable<unknown>): Promise<void> {
  const iterator = tokens[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

const endless = { maxNewTokens: 1000, stopAtEndOfText: false } as const;
const works: readonly Work[] = [
  {
    name: "loading",
    async run(signal) {
      for (;;) (await readModel(values.model, { device, dtype, signal })).dispose();
    },
  },
  {
    name: `generation after ${PROMPT} tokens`,
    run: (signal) => drain(generate(model, ids(PROMPT), { ...endless, signal })),
  },
  { name: "generation after one token", run: (signal) => drain(generate(model, ids(1), { ...endless, signal })) },
  {
    name: "a batch of 8",
    run: (signal) =>
      drain(
        generateBatch(
          model,
          Array.from({ length: 8 }, () => ids(64)),
          { ...endless, signal },
        ),
      ),
  },
  { name: "training", run: (signal) => trainHeads(heads, documents, { steps: 1000, signal }) },
  {
    name: "fitting maps and previews",
    async run(signal) {
      for (;;) {
        await fitMaps(fitted, documents, { positions: 1024, signal });
        await fitPreviews(fitted, documents, { positions: 1024, signal });
      }
    },
  },
  {
    name: "fitting keys and values",
    async run(signal) {
      for (;;) await fitProjections(fitted, documents, { positions: 1024, signal });
    },
  },
  { name: "calibration", run: (signal) => calibrate(heads, documents, { signal }) },
  { name: "evaluation", run: (signal) => evaluate(model, items, { signal }) },
];

/** Milliseconds from the signal to the end of the call. Throws what else ended it. */
async function lateness({ run }: Work): Promise<number> {
  const started = performance.now();
  const signal = AbortSignal.timeout(DELAY);
  await endedBy(run(signal), signal);
  return performance.now() - started - DELAY;
}

/** Ticks per second of a timer of 1 ms, and the longest time without one. */
async function ticks({ run }: Work): Promise<{ readonly perSecond: number; readonly longest: number }> {
  let count = 0;
  let longest = 0;
  const started = performance.now();
  let last = started;
  const timer = setInterval(() => {
    count++;
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  const signal = AbortSignal.timeout(1000);
  await endedBy(run(signal), signal);
  clearInterval(timer);
  return { perSecond: count / ((performance.now() - started) / 1000), longest };
}

async function endedBy(running: Promise<unknown>, signal: AbortSignal): Promise<void> {
  try {
    await running;
  } catch (error) {
    if (error !== signal.reason) throw error;
    return;
  }
  throw new Error("it ended before the signal: give it more work");
}

const rows: (string | number)[][] = [];
let failed = false;
for (const work of works) {
  const late: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) late.push(await lateness(work));
  late.sort((a, b) => a - b);
  const { perSecond, longest } = await ticks(work);
  failed ||= late[0]! > MOST_LATE || perSecond < LEAST_TICKS;
  rows.push([work.name, ...[late[0]!, late[late.length >> 1]!, late.at(-1)!, perSecond, longest].map(Math.round)]);
  console.error(rows.at(-1)!.join(", "));
}
heads.dispose();
fitted.dispose();
model.dispose();
await device.dispose();

const report = {
  name: "interrupt",
  title: `Signals and timers beside SmolLM2-135M-Instruct, ${values.dtype}, ${values.threads} threads`,
  machine: where,
  tables: [
    {
      title: "Milliseconds from a signal to the end, and ticks of a timer",
      note: prose`
        A signal comes ${DELAY} ms after the call; ${values.rounds} rounds. It is to end the call within
        ${MOST_LATE} ms. Then each runs for a second beside a timer of 1 ms, which is to tick at least
        ${LEAST_TICKS} times.`,
      columns: ["work", "least", "median", "most", "ticks per second", "longest time without a tick, ms"],
      rows,
    },
  ],
  data: rows,
};
console.log(toMarkdown(report));
await writeReport(values.out, report);
if (failed) process.exitCode = 1;
