/**
 * Gain of plain decoding when the unembedding is screened, on one thread, token for token the same:
 *   npm run bench:screened [-- --runs 40] [--tokens 48] [--texts 0] [--dtypes float32,bfloat16] [--out FOLDER]
 * SmolLM2-135M-Instruct (../shared/fixtures) answers the fixture's prompts greedily; a model of the shape of
 * Gemma-3-270M has random weights. Full and screened decoding take turns, and so do the dtypes' models. `--texts 200`
 * compares so many texts instead, and times nothing. Writes bench/reports/screened.md.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createRng, type WeightDtype } from "early-exits/tensor";
import { createDevice, readModel } from "early-exits/node";
import { describeMachine, machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { quartiles } from "../lab/report/format.js";
import { type Report, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { type ScreeningTiming, timeScreening } from "../lab/screening/time-screening.js";
import { randomModel } from "../lab/speed/models.js";
import type { Model } from "early-exits";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "40" },
    tokens: { type: "string", default: "48" },
    texts: { type: "string", default: "0" },
    dtypes: { type: "string", default: "float32,bfloat16" },
    out: { type: "string", default: reportsFolder },
  },
});
const folder = fileURLToPath(new URL("../../shared/fixtures/models/smollm2-135m-instruct/", import.meta.url));
const gemmaShape = {
  model_type: "gemma3_text",
  hidden_size: 640,
  num_hidden_layers: 18,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  query_pre_attn_scalar: 256,
  intermediate_size: 2048,
  vocab_size: 262_144,
  max_position_embeddings: 1024,
  sliding_window: 512,
  tie_word_embeddings: true,
};
const dtypes = options.dtypes.split(",") as WeightDtype[];

const where = machine();
console.error(describeMachine(where));

interface Row {
  readonly model: string;
  readonly dtype: WeightDtype;
  /** Bytes of the coarse copy. */
  readonly copy: number;
  readonly timing: ScreeningTiming;
}
const rows: Row[] = [];
const texts = Number(options.texts);
const runs = texts > 0 ? texts : Number(options.runs) + 1; // one warms up

const chat = readFileSync(`${folder}chat-answers.jsonl`, "utf8")
  .trim()
  .split("\n")
  .map((line) => (JSON.parse(line) as { readonly prompt: readonly number[] }).prompt);
const subjects: {
  readonly name: string;
  readonly open: (dtype: WeightDtype) => Promise<Model>;
  readonly prompts: readonly (readonly number[])[];
}[] = [
  {
    name: "SmolLM2-135M-Instruct",
    open: async (dtype) =>
      readModel(`${folder}SmolLM2-135M-Instruct.Q4_1.gguf`, {
        device: await createDevice("wasm", { threads: 1 }),
        dtype,
      }),
    prompts: chat.slice(0, runs),
  },
];
if (texts === 0) {
  const rng = createRng(1);
  const randomPrompt = (): number[] =>
    Array.from({ length: 32 }, () => Math.floor(rng.uniform() * gemmaShape.vocab_size));
  subjects.push({
    name: "random weights, the shape of Gemma-3-270M",
    open: async (dtype) => randomModel(gemmaShape, await createDevice("wasm", { threads: 1 }), dtype),
    prompts: Array.from({ length: runs }, randomPrompt),
  });
}

for (const { name, open, prompts } of subjects) {
  for (const dtype of dtypes) {
    const model = await open(dtype);
    console.error(`${name}, ${dtype}: auto chose ${model.unembedding}`);
    const timing = await timeScreening(model, prompts, {
      maxNewTokens: Number(options.tokens),
      onRun: (done) => process.stderr.write(`\r${done} of ${prompts.length} `),
    });
    console.error(`${timing.speedup.median.toFixed(3)}x, same tokens: ${timing.sameTokens}`);
    rows.push({ model: name, dtype, copy: model.screened!.bytes, timing });
    await model.device.dispose();
  }
}

if (rows.some(({ timing }) => !timing.sameTokens)) {
  console.error("screening changed a token");
  process.exitCode = 1;
}
const report: Report = {
  name: "screened",
  title: "Screened unembedding: time per token",
  machine: where,
  tables: [
    {
      title: "Plain greedy decoding, one thread",
      note: prose`
        Milliseconds per token after the first, medians of ${runs - 1} runs of ${options.tokens} tokens; the two ways
        take turns on the same prompts, with the same weights in one process. "speedup" is the median of the ratios of
        the runs, full over screened, with its quartiles. "exact" is the number of logits per token that are computed
        exactly after the bounds; "full after all" counts the tokens for which too many were left.`,
      columns: [
        "model",
        "dtype",
        "full ms",
        "screened ms",
        "speedup",
        "quartiles",
        "exact",
        "full after all",
        "copy MB",
        "same tokens",
      ],
      rows: rows.map(({ model, dtype, copy, timing }) => [
        model,
        dtype,
        timing.full.median.toFixed(2),
        timing.screened.median.toFixed(2),
        `${timing.speedup.median.toFixed(2)}x`,
        quartiles(timing.speedup),
        timing.exactLogits.toFixed(1),
        String(timing.fallbacks),
        (copy / 1e6).toFixed(1),
        timing.sameTokens ? "yes" : "NO",
      ]),
    },
  ],
  data: rows,
};
console.log(toMarkdown(report));
if (texts === 0) await writeReport(options.out, report);
