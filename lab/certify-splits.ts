/**
 * Do certificates on real models keep their claim? Heads are trained on a corpus, a pool of other documents is recorded
 * once, and policies are certified under many seeds. Each is judged by its mean over the whole pool, which stands in
 * for the population: it may miss the claim in a share delta of the splits.
 *   tsx lab/certify-splits.ts [--splits 50] [--delta 0.05] [--documents 400] [--steps 300]
 *                             [--models sotu-12,stories260K] [--out bench/reports]
 * The embedded model comes with heads and documents; stories260K and its text are in ../shared/fixtures, and its heads
 * are trained here for so many steps.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { exactFill } from "early-exits";
import { recordDocuments } from "early-exits/calibrate";
import { certifyRecorded } from "./certify-splits/certify-pool.js";
import { crossCertify } from "./certify-splits/cross-certify.js";
import { openCorpus } from "./certify-splits/corpus.js";
import { percent } from "./certify-splits/percent.js";
import type { SplitRow } from "./certify-splits/judge-splits.js";
import { machine } from "./report/machine.js";
import { type Table, writeReport } from "./report/report.js";

const { values } = parseArgs({
  options: {
    splits: { type: "string", default: "50" },
    delta: { type: "string", default: "0.05" },
    documents: { type: "string", default: "400" },
    steps: { type: "string", default: "300" },
    models: { type: "string", default: "sotu-12,stories260K" },
    out: { type: "string", default: fileURLToPath(new URL("../bench/reports", import.meta.url)) },
  },
});
const splits = Number(values.splits);
const delta = Number(values.delta);
const count = Number(values.documents);
const steps = Number(values.steps);

const rows: SplitRow[] = [];
const crossing: (readonly (string | number)[])[] = [];
const facts: string[] = [];
for (const name of values.models.split(",")) {
  const { heads, note, pool: all } = await openCorpus(name, steps);
  const { model } = heads;
  const pool = all.slice(0, count);
  const fill = exactFill(model.config);
  const records = await recordDocuments(heads, pool);
  const tokens = records.documents.reduce((sum, { positions }) => sum + positions, 0);
  const fact =
    `${name}: ${model.config.numLayers} blocks, heads at depths ${heads.depths.join(", ")} (${note}); a pool of ` +
    `${records.documents.length} documents, ${tokens.toLocaleString("en")} tokens`;
  facts.push(fact);
  console.error(fact);
  rows.push(...(await certifyRecorded(name, records, fill, { splits, delta })));
  crossing.push(...(await crossCertify(name, heads, { given: records, pool, fill, delta })));
}

const permitted = delta + 3 * Math.sqrt((delta * (1 - delta)) / splits);
const table: Table = {
  title: "Certified under many seeds, judged on the whole pool",
  note:
    `${facts.join("; ")}. ${splits} splits each, delta ${delta}. A policy violates its claim if its agreement over ` +
    "the whole pool is below the certified level: the mean over documents, or for any change the share of unchanged " +
    "documents. " +
    `Permitted: ${percent(permitted)} (delta + 3 standard errors). Depth is the mean number of blocks run; cost is ` +
    "multiply-adds per token relative to the full model, including every evaluated head, but not the blocks that " +
    "lazy filling defers.",
  columns: [
    "model",
    "loss",
    "fill",
    "agreement",
    "violates",
    "never exits",
    "mean agreement",
    "coverage",
    "depth",
    "cost",
  ],
  rows: rows.map((row) => [
    row.model,
    row.loss,
    row.fill,
    row.agreement,
    percent(row.violations / splits),
    percent(row.never / splits),
    percent(row.measured),
    percent(row.coverage),
    row.depth,
    row.cost,
  ]),
};
const cross: Table = {
  title: "Text as given and text that the model generates itself",
  note:
    "A policy certified at 0.90 (overall) on one of them, and what it does on both. Own text: sampled at " +
    "temperature 1 after the first 8 tokens of documents.",
  columns: [
    "model",
    "certified on",
    "score",
    "certified",
    "agreement, given",
    "coverage, given",
    "agreement, own",
    "coverage, own",
  ],
  rows: crossing,
};
await writeReport(values.out, {
  name: "certify-splits",
  title: "Certificates on real models",
  machine: machine(),
  tables: [table, cross],
  data: { splits, delta, rows },
});
const broken = rows.filter(({ violations }) => violations / splits > permitted);
if (broken.length > 0) {
  console.error("broken:", broken);
  process.exitCode = 1;
}
