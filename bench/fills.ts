/**
 * Changes that each way of filling skipped blocks' keys and values makes to the tokens that do not leave, and its
 * cost:
 *   npm run bench:fills [-- --model FOLDER --text FILE] [--windows 60] [--out FOLDER]
 * Half of the positions, drawn at random, leave at one exit; all others are compared with the full model on the same
 * held-out text (src/exits/decode/drift.ts). Learned keys and values are fitted on other documents. Runs on the
 * embedded model sotu-6, and on stories260K if shared/ exists. Writes bench/reports/fills.md.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attachHeads, type FillName, fillNames, fitProjections, measureUnitTimes, splitDocuments } from "early-exits";
import type { ProjectionInput } from "early-exits/exits";
import { type Drift, measureDrift } from "../lab/drift.js";
import { createDevice, readModel, readText } from "early-exits/node";
import { describeMachine, machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { type Report, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { modelFolder, readDocuments } from "../lab/ship/embedded.js";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    text: { type: "string" },
    windows: { type: "string", default: "60" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
console.error(describeMachine(where));

interface Subject {
  readonly name: string;
  readonly folder: string;
  readonly documents: () => Promise<{ train: readonly string[]; held: readonly string[] }>;
}
const split = async (file: string): Promise<{ train: string[]; held: string[] }> =>
  splitDocuments(await readText(file), { train: 0.8, seed: 1 });
const embedded = modelFolder("sotu-6");
const stories = path("../../shared/fixtures/models/stories260K");
const subjects: Subject[] = [
  {
    name: basename(embedded),
    folder: embedded,
    async documents() {
      const { train, calibration } = await readDocuments(embedded);
      return { train, held: calibration };
    },
  },
];
if (existsSync(stories)) {
  subjects.push({
    name: "stories260K",
    folder: stories,
    documents: () => split(path("../../shared/fixtures/text/tinystories_clean.jsonl")),
  });
}
const { model: given, text } = options;
if (given !== undefined && text !== undefined) {
  subjects.push({ name: basename(given), folder: given, documents: () => split(text) });
}

interface Row {
  readonly model: string;
  readonly depth: number;
  readonly fill: string;
  readonly drift: Drift;
  readonly fillTime: number;
}
const rows: Row[] = [];
for (const { name, folder, documents } of subjects) {
  const device = await createDevice("wasm", { threads: 1 });
  const model = await readModel(folder, { device });
  const { numLayers, numKvSharedLayers } = model.config;
  const { train, held } = await documents();
  const heads = attachHeads(model, {
    exits: [Math.round(numLayers / 3), Math.round((2 * numLayers) / 3)],
    kind: "linear",
  });
  const measure = async (fill: FillName, label: string): Promise<void> => {
    const { fills } = await measureUnitTimes(heads, { fill, rows: [1] });
    for (const [exit, depth] of heads.depths.entries()) {
      const drift = await measureDrift(heads, held, { fill, exit, windows: Number(options.windows) });
      rows.push({ model: name, depth, fill: label, drift, fillTime: 1000 * fills[exit]!.cost });
      console.error(`${name}, depth ${depth}, ${label}: kept ${drift.kept.toFixed(4)}, KL ${drift.kl.toFixed(5)}`);
    }
  };
  for (const fill of fillNames) {
    if (fill === "shared" && numKvSharedLayers === 0) continue;
    for (const input of fill === "project"
      ? (["normalized", "both"] as const satisfies readonly ProjectionInput[])
      : [undefined]) {
      if (input !== undefined) await fitProjections(heads, train, { input });
      await measure(fill, input === "both" ? "project, raw state too" : fill);
    }
  }
  heads.dispose();
  model.dispose();
  await device.dispose();
}

const perPosition = ({ drift: { ledger } }: Row): number => ledger.decode.multiplyAdds / ledger.plain.multiplyAdds;
const report: Report = {
  name: "fills",
  title: "Keys and values of skipped blocks: drift and cost",
  machine: where,
  data: rows.map(({ drift: { ledger, ...drift }, ...row }) => ({
    ...row,
    ...drift,
    decode: ledger.decode,
    plain: ledger.plain,
  })),
  tables: [
    {
      title: "Half of the positions leave at one depth",
      note: prose`
        The positions are drawn at random, on held-out text; the others run all blocks and are compared with the full
        model on the same text. Multiply-adds and weight bytes are counted over all positions, relative to those of the
        full model; no exit heads are evaluated. "fill µs" is the median time of one fill, one thread; it is 0 if
        blocks are run instead, which are counted as blocks.`,
      columns: [
        "model",
        "depth",
        "fill",
        "argmax kept",
        "KL, nats",
        "multiply-adds",
        "weight bytes",
        "fill µs",
        "compared",
      ],
      rows: rows.map((row) => [
        row.model,
        row.depth,
        row.fill,
        percent(row.drift.kept, 2),
        row.drift.kl.toFixed(5),
        perPosition(row).toFixed(3),
        (row.drift.ledger.decode.weightBytes / row.drift.ledger.plain.weightBytes).toFixed(3),
        row.fillTime.toFixed(1),
        String(row.drift.compared),
      ]),
    },
  ],
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
