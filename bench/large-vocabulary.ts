/**
 * A model whose unembedding is dear: a preview of it alone, without an exit below, certified and drafting. First
 *   npx tsx apps/cli/main.ts train MODEL.gguf --exits 0 --preview 512 --self --out HEADS
 *   npx tsx apps/cli/main.ts calibrate MODEL.gguf --heads HEADS --self 1200 --agreement .95,.99 --delta .1 --out A
 * and then
 *   npx tsx bench/large-vocabulary.ts --model MODEL.gguf --heads HEADS --policies A-99.json,A-95.json [--runs 40]
 *     [--out FOLDER]
 * Every way continues the beginnings of texts that the model samples from nothing, in turn, greedily; the full model
 * judges every token. Writes large-vocabulary.md and .json.
 */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { generateBatch, measureUnitTimes } from "early-exits";
import { compareWays, type Way } from "early-exits/evaluate";
import { storageOf } from "early-exits/model";
import { createDevice, readHeads, readModel, readPolicy } from "early-exits/node";
import { percent, withRange } from "../lab/report/format.js";
import { machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { drain } from "../lab/speed/timing.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    heads: { type: "string" },
    policies: { type: "string" },
    runs: { type: "string", default: "40" },
    out: { type: "string", default: reportsFolder },
  },
});
const TOKENS = 64;

const where = machine();
const policies = await Promise.all(values.policies!.split(",").map((path) => readPolicy(path)));
const device = await createDevice("wasm", { threads: 1 });
const model = await readModel(values.model!, { device, ...storageOf(policies[0]!.certified!.dtype) });
const heads = await readHeads(values.heads!, model);
const start = model.config.bosTokenId!;
// Certificates are of texts with other seeds.
const beginnings = generateBatch(model, Array<number[]>(Number(values.runs)).fill([start]), {
  ...{ temperature: 1, seed: 1_000_000, maxNewTokens: 16, stopAtEndOfText: false, batchSize: 8 },
});
await drain(beginnings);
const prompts = beginnings.summaries.map(({ ids }) => [start, ...ids]);
const costs = await measureUnitTimes(heads, { rows: [1, 2, 3, 4, 5], time: 3000 });
const ways: Way[] = [
  { name: "plain", options: {} },
  ...policies.map((policy) => ({ name: `policy of ${percent(policy.agreement!, 0)}`, options: { policy } })),
  { name: "lossless", options: { policy: policies.at(-1)!, lossless: { costs } } },
];
const { results, runs } = await compareWays(heads, ways, prompts, {
  runs: Number(values.runs),
  maxNewTokens: TOKENS,
});
const plain = results[0]!;
const report = {
  name: "large-vocabulary",
  title: `A preview in place of the unembedding: ${basename(values.model!, ".gguf")}`,
  machine: where,
  data: { costs, results },
  tables: [
    {
      title: "Speed",
      note: prose`${runs} greedy continuations of ${TOKENS} tokens, one thread, dtype ${model.dtype}; a preview
        of rank ${heads.heads.at(-1)!.shape.preview!.rank} and nothing else. Ratio of the medians to plain decoding,
        with the quartiles of the ratios by text. Agreement: tokens that the full model would have chosen after the same
        text. Repetitions draft in both; lossless, the preview drafts elsewhere, after all blocks, and the unembedding
        judges several drafts together.`,
      columns: ["", "tokens/s", "ratio", "agreement", "multiply-adds", "tokens a round", "drafts accepted"],
      rows: results.map(({ name, tokensPerSecond, ratio, agreement, identical, ...counts }) => [
        name,
        tokensPerSecond.toFixed(1),
        withRange(ratio),
        identical ? "identical" : percent(agreement),
        (counts.multiplyAdds / plain.multiplyAdds).toFixed(2),
        counts.tokensPerRound > 1 ? counts.tokensPerRound.toFixed(2) : "",
        counts.acceptanceRate >= 0 ? percent(counts.acceptanceRate) : "",
      ]),
    },
    {
      title: "Unit times",
      note: "Milliseconds, medians.",
      columns: ["unit", "1 row", "2 rows", "3 rows", "4 rows"],
      rows: [
        ["all blocks", ...costs.block.slice(0, 4).map(({ cost }) => (cost * model.config.numLayers).toFixed(2))],
        ["unembedding", ...costs.finalHead.slice(0, 4).map(({ cost }) => cost.toFixed(2))],
        ["preview", costs.heads.at(-1)!.toFixed(2), "", "", ""],
      ],
    },
  ],
};
await writeReport(values.out, report);
console.log(toMarkdown(report));
process.exit(0);
