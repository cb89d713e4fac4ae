/**
 * The price of rows: what a pass over several rows takes, over a pass over one, by the dtype of the weights, on one
 * thread. Verifying a draft is a second row, and a batch of four texts is four.
 *   npx tsx bench/rows.ts [--model FILE] [--folder FOLDER] [--dtypes int8,int4,bfloat16,float32] [--time 8000]
 *     [--rounds 9] [--out FOLDER]
 * SmolLM2-135M-Instruct (../shared/fixtures) with its exits: blocks, exits and unembeddings take turns as in decoding,
 * with 160 cached positions, so that weights come from memory; beside them, a loop that only reads, and products from
 * the caches. The last table runs `generateBatch` on 1 to 4 copies of a prompt, in turns. Writes rows.md and rows.json.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generateBatch, measureUnitTimes, type Model, type UnitTimes } from "early-exits";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { createRng, linear, Tensor, type WeightDtype } from "early-exits/tensor";
import { bytesOf, storedBytes } from "../src/model/weights.js";
import { measureLimits } from "../lab/speed/limits.js";
import { measure } from "../lab/speed/timing.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { type Table, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { median } from "./peers/statistics.js";

const ROWS = [1, 2, 3, 4, 5, 6, 7, 8];
const TEXTS = [1, 2, 3, 4];
const CONTEXT = 160;
/** Tokens of each text of a batch. */
const TOKENS = 24;

const fixture = "../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: fixture },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    dtypes: { type: "string", default: "int8,int4,bfloat16,float32" },
    time: { type: "string", default: "8000" },
    rounds: { type: "string", default: "9" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
console.error(describeMachine(where));

/** Milliseconds of products of 1 to 4 rows with as many bytes of weights, all in the caches. */
async function timeCached({ device, weights, config }: Model, bytes: number): Promise<number[]> {
  const { weight } = weights.blocks[0]!.up;
  const rng = createRng(1);
  const times: number[] = [];
  for (const rows of TEXTS) {
    const x = Tensor.from(
      device,
      Array.from({ length: rows * config.hiddenSize }, () => rng.normal()),
      [rows, config.hiddenSize],
    );
    const { median } = await measure("products from the caches", () => linear(x, weight).dispose());
    times.push((median * bytes) / storedBytes(weight));
  }
  return times;
}

/** Milliseconds a round of `generateBatch` takes, by number of texts: medians of rounds in turns. */
async function timeBatches(model: Model): Promise<number[]> {
  const prompt = model.tokenizer.encode("The people of the United States have chosen a government of laws.");
  const samples = TEXTS.map((): number[] => []);
  for (let round = -1; round < Number(options.rounds); round++) {
    for (const [i, texts] of TEXTS.entries()) {
      const prompts = Array.from({ length: texts }, () => prompt);
      const begun = new Map<number, number>(); // by text, once its prompt is behind
      const batch = generateBatch(model, prompts, { maxNewTokens: TOKENS, stopAtEndOfText: false });
      for await (const { prompt: text } of batch) {
        if (!begun.has(text)) begun.set(text, performance.now());
      }
      const begin = Math.max(...begun.values());
      if (round >= 0) samples[i]!.push((performance.now() - begin) / (TOKENS - 1));
    }
  }
  return samples.map(median);
}

const results: {
  readonly dtype: WeightDtype;
  readonly unembedding: string;
  readonly units: UnitTimes;
  /** MB of a block's weights, GB/s of one row and of a loop that only reads, which takes so many milliseconds. */
  readonly read: readonly number[];
  readonly cached: readonly number[];
  readonly batches: readonly number[];
}[] = [];
for (const dtype of options.dtypes.split(",") as WeightDtype[]) {
  const device = await createDevice("wasm", { threads: 1 });
  const model = await readModel(options.model, { device, dtype });
  const heads = await readHeads(join(options.folder, "heads"), model);
  const units = await measureUnitTimes(heads, { rows: ROWS, context: CONTEXT, time: Number(options.time) });
  const bytes = bytesOf(model.weights.blocks[0]!);
  const size = bytes / 1e6;
  const { read: limit } = await measureLimits();
  const read = [size, size / units.block[0]!.cost, limit, size / limit];
  results.push({
    dtype,
    unembedding: model.unembedding,
    units,
    read,
    cached: await timeCached(model, bytes),
    batches: await timeBatches(model),
  });
  console.error(`${dtype}: ${units.block.map(({ cost }) => (cost / units.block[0]!.cost).toFixed(2)).join(" ")}`);
  await device.dispose();
}

const prices = (costs: readonly number[], digits: number): string[] => [
  costs[0]!.toFixed(digits),
  ...costs.slice(1).map((cost) => (cost / costs[0]!).toFixed(2)),
];
const table = (
  title: string,
  note: string,
  rows: readonly (readonly string[])[],
  counts: readonly number[],
): Table => ({
  title,
  note,
  columns: ["weights", "one, ms", ...counts.slice(1).map(String)],
  rows,
});
const report = {
  name: "rows",
  title: "The price of rows",
  machine: where,
  tables: [
    table(
      "A block",
      prose`
        SmolLM2-135M-Instruct, one thread, ${CONTEXT} cached positions: milliseconds of a pass over one row, then passes
        over 2 to 8 rows as multiples of it.`,
      results.map(({ dtype, units }) => [
        dtype,
        ...prices(
          units.block.map(({ cost }) => cost),
          3,
        ),
      ]),
      ROWS,
    ),
    {
      title: "Memory and arithmetic alone",
      note: prose`
        A pass of a block over one row, attention and norms included, beside a loop that only reads, as fast as it can;
        then arithmetic alone, milliseconds of products of one to four rows with as many weights, all in the caches.`,
      columns: ["weights", "a block, MB", "one row, GB/s", "reading, GB/s", "reading, ms", ...TEXTS.map(String)],
      rows: results.map(({ dtype, read, cached }) => [dtype, ...[...read, ...cached].map((value) => value.toFixed(3))]),
    },
    table(
      "Final norm, unembedding and argmax",
      "The same. In screened unembeddings only rows that may hold the argmax are computed exactly.",
      results.map(({ dtype, unembedding, units }) => [
        `${dtype}, ${unembedding}`,
        ...prices(
          units.finalHead.map(({ cost }) => cost),
          3,
        ),
      ]),
      ROWS,
    ),
    table(
      "The whole model",
      prose`
        \`generateBatch\` on copies of one prompt, ${TOKENS} tokens each: milliseconds a round of one text takes, then
        rounds of 2 to 4 texts as multiples of it; medians of ${options.rounds} runs in turns.`,
      results.map(({ dtype, batches }) => [dtype, ...prices(batches, 2)]),
      TEXTS,
    ),
  ],
  data: results,
};
console.log(toMarkdown(report));
await writeReport(options.out, report);
