/**
 * The soak of the server's batcher on SmolLM2-135M-Instruct (../shared/fixtures), and its report, soak.md:
 *   npx tsx lab/soak/run.ts [--seconds 600] [--model FILE] [--dtype int8] [--threads 2] [--seed 1] [--out FOLDER]
 * First 8 clients, for the times between tokens; then 64 clients with random prompts, lengths, aborts and disconnects.
 * Afterwards texts are compared with those of `generate`, for as long as the soak took at most. Exits with 1 if a text
 * differs, an error came that no client caused, or memory grew by more than 2 % over the second half.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createDevice, readModel } from "early-exits/node";
import { Batcher } from "early-exits/serve";
import { createRng, type WeightDtype } from "early-exits/tensor";
import { machine } from "../report/machine.js";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";
import { reportsFolder } from "../report/script.js";
import { quantileOf } from "../speed/timing.js";
import { toMarkdown, writeReport } from "../report/report.js";
import { isGenerated, type MemorySample, soak } from "./clients.js";

const smol = "../../../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    model: { type: "string", default: fileURLToPath(new URL(smol, import.meta.url)) },
    dtype: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: reportsFolder },
  },
});
const CLIENTS = 64;
const PARALLEL = 8;
/** Tokens of the texts between whose tokens time is taken. */
const TOKENS = 48;
const MOST_GROWTH = 0.02;
const MOST_RATIO = 3;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const where = machine();
const seconds = Number(values.seconds);
const seed = Number(values.seed);
const device = await createDevice("wasm", { threads: Number(values.threads) });
const model = await readModel(values.model, { device, dtype: values.dtype as WeightDtype });

/** Milliseconds between the tokens of 8 clients who ask again and again, with prompts of random length. */
async function timesBetweenTokens(lasting: number): Promise<number[]> {
  const batcher = new Batcher(model, { parallel: PARALLEL, prefixBytes: 0 });
  const times: number[] = [];
  const started = performance.now();
  const client = async (index: number): Promise<void> => {
    const rng = createRng(seed).fork(`reader ${index}`);
    while (performance.now() - started < 1000 * lasting) {
      const prompt = Array.from({ length: 1 + rng.integer(192) }, () => rng.integer(model.config.vocabSize));
      let before = NaN;
      const text = batcher.submit(prompt, { maxNewTokens: TOKENS, stopAtEndOfText: false });
      const tokens = text[Symbol.asyncIterator]();
      while ((await tokens.next()).done !== true) {
        const now = performance.now();
        if (!Number.isNaN(before)) times.push(now - before);
        before = now;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, (_, i) => client(i)));
  await batcher.close();
  return times;
}

const between = await timesBetweenTokens(Math.min(60, seconds / 4));
const quantile = (share: number): number => quantileOf(between, share);
const samples: MemorySample[] = [];
const counts = await soak(
  model,
  { clients: CLIENTS, parallel: PARALLEL, seconds, seed, onSample: (sample) => samples.push(sample) },
  collect,
);
console.error(`${counts.texts} texts; comparing`);

let compared = 0;
let different = 0;
const deadline = performance.now() + 1000 * seconds;
for (const text of counts.asked) {
  if (performance.now() > deadline) break;
  compared++;
  if (!(await isGenerated(model, text))) different++;
}
await device.dispose();

type Kind = "resident" | "heap" | "device";
const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
/** Growth from the third to the last quarter of the time, by means: single samples hold what is running. */
const growthOf = (kind: Kind): number => {
  const during = (begin: number, end: number): number =>
    mean(
      samples.filter((one) => one.seconds >= begin * seconds && one.seconds < end * seconds).map((one) => one[kind]),
    );
  return during(0.75, 1) / during(0.5, 0.75) - 1;
};
const kinds: readonly Kind[] = ["resident", "heap", "device"];
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
const ratio = quantile(0.99) / quantile(0.5);
const failed = different + counts.errors.length > 0 || kinds.some((kind) => growthOf(kind) > MOST_GROWTH);
const report = {
  name: "soak",
  title: `${CLIENTS} clients for ${seconds} seconds, ${values.dtype}, ${values.threads} threads`,
  machine: where,
  tables: [
    {
      title: "Texts",
      note: prose`
        Random prompts of up to 191 tokens, many with a shared beginning, lengths up to 48 tokens, greedy or sampled. A
        third of the clients' texts is given up, by leaving or by aborting a signal. Compared with those of generate
        were ${compared} texts, drawn evenly; one that was given up has to begin like it.`,
      columns: ["texts", "finished", "left", "aborted", "errors", "compared", "different"],
      rows: [[counts.texts, counts.finished, counts.left, counts.aborted, counts.errors.length, compared, different]],
    },
    {
      title: "Memory",
      note: prose`
        Megabytes, sampled every 5 seconds after a garbage collection; growth is that of the mean of the last quarter of
        the time over the mean of the third. At most ${percent(MOST_GROWTH, 0)} is the goal.`,
      columns: ["memory", "at a quarter", "at half time", "at the end", "growth in the second half"],
      rows: kinds.map((kind) => [
        { resident: "of the process", heap: "JavaScript's heap", device: "in use on the device" }[kind],
        megabytes(samples[Math.floor(samples.length / 4)]![kind]),
        megabytes(samples[Math.floor(samples.length / 2)]![kind]),
        megabytes(samples.at(-1)![kind]),
        percent(growthOf(kind), 2),
      ]),
    },
    {
      title: `Milliseconds between the tokens of ${PARALLEL} clients`,
      note: prose`
        Greedy texts of ${TOKENS} tokens after prompts of random length, which join while others are written. The 99th
        percentile is to be at most ${MOST_RATIO} medians.`,
      columns: ["median", "99th percentile", "ratio", "times"],
      rows: [[quantile(0.5).toFixed(2), quantile(0.99).toFixed(2), ratio.toFixed(2), between.length]],
    },
  ],
  data: { counts: { ...counts, asked: compared }, samples, quantiles: [0.5, 0.9, 0.99, 1].map(quantile) },
};
for (const error of new Set(counts.errors)) console.error(error);
console.log(toMarkdown(report));
await writeReport(values.out, report);
if (failed) process.exitCode = 1;
