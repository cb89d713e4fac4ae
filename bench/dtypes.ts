/**
 * Every way of storing the embedded model, against its float32: wall clock and agreement of policies certified at .99,
 * .95, .90 and .80, for greedy and for sampled text; quantisation and exits in one promise. "Out of reach" says that
 * even without exits the stored model does not keep the agreement.
 *   tsx bench/dtypes.ts [--prompts 40] [--length 112] [--documents N] [--dtypes float32,bfloat16,int8] [--out DIR]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exactFill, type ExitHeads, measureUnitTimes, type WeightDtype } from "early-exits";
import { calibrateRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { describeSampling } from "early-exits/model";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { compareWays, type JudgedWay } from "../lab/judged/compare-ways.js";
import { machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { writeReport } from "../lab/report/report.js";
import { loadSotu, splitCorpus } from "../lab/ship/corpus.js";
import { modelFolder } from "../lab/ship/embedded.js";
import { shippingTexts } from "../lab/ship/texts.js";
import { SPLIT_SEED } from "../lab/ship/segments.js";

const { values } = parseArgs({
  options: {
    prompts: { type: "string", default: "40" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "112" },
    documents: { type: "string", default: "100000" },
    dtypes: { type: "string", default: "float32,bfloat16,int8" },
    out: { type: "string", default: reportsFolder },
  },
});
const promptTokens = Number(values.prompt);
const tokens = Number(values.length);
const most = Number(values.documents);
const where = machine();
const device = await createDevice("wasm");
const folder = modelFolder("sotu-12");
const open = async (dtype: WeightDtype): Promise<ExitHeads> => {
  const heads = await readHeads(join(folder, "heads"), await readModel(folder, { device, dtype }));
  return heads;
};
const float32 = await open("float32");
const fill = exactFill(float32.model.config);
const stored = new Map<WeightDtype, ExitHeads>();
for (const dtype of values.dtypes.split(",") as WeightDtype[]) {
  stored.set(dtype, dtype === "float32" ? float32 : await open(dtype));
}
const texts = shippingTexts(splitCorpus(loadSotu().documents, SPLIT_SEED));
const shipped = (await readJson(join(folder, "shipped.json"))) as {
  readonly calibrationDocuments: number;
  readonly testDocuments: number;
};
const calibration = texts.calibration.slice(0, Math.min(most, shipped.calibrationDocuments)).map(({ text }) => text);
const test = texts.test.slice(0, Math.min(most, shipped.testDocuments)).map(({ text }) => text);
const prompts = test
  .map((text) => float32.model.tokenizer.encode(text).slice(0, promptTokens))
  .slice(0, Number(values.prompts));

interface Row {
  readonly text: string;
  readonly dtype: WeightDtype;
  /** undefined for the model without exits. */
  readonly level: number | undefined;
  /** Why nothing was certified, if nothing was. */
  readonly refused: string | undefined;
  /** On the test documents, mean over documents. */
  readonly agreement: number;
  readonly way: JudgedWay | undefined;
}

const rows: (Row & { speed?: number; ratio?: readonly [number, number, number]; meanDepth?: number })[] = [];
for (const sampling of [{}, { temperature: 0.8, topP: 0.95 }]) {
  const text = describeSampling(sampling);
  const made: Row[] = [];
  for (const [dtype, heads] of stored) {
    const judged = { sampling, ...(heads !== float32 && { against: float32.model }) };
    const records = await recordDocuments(heads, calibration, judged);
    const tested = await recordDocuments(heads, test, judged);
    const costs = await measureUnitTimes(heads, { fill });
    const never = {
      score: "margin",
      exits: heads.depths.map((depth) => ({ depth, threshold: "never" as const })),
    } as const;
    made.push({
      text,
      dtype,
      level: undefined,
      refused: undefined,
      agreement: playPolicy(tested, never).documentAgreement,
      way: { name: `${dtype}, no exits`, heads, options: sampling },
    });
    for (const level of [0.99, 0.95, 0.9, 0.8]) {
      const { policy, certificate } = await calibrateRecords(records, { agreement: level, costs, fill });
      const further = certificate.furtherUnits;
      const lacking = further === null ? "out of reach" : `needs ${further} more segments`;
      const refused = policy.certified?.impossible === true ? lacking : undefined;
      const way = { name: `${dtype}, certified ${level}`, heads, options: { ...sampling, policy } };
      const agreement = playPolicy(tested, policy).documentAgreement;
      made.push({ text, dtype, level, refused, agreement, way: refused === undefined ? way : undefined });
      console.error(`${text}: ${way.name}: ${refused ?? "certified"}, agreement ${percent(agreement)}`);
    }
  }
  const ways = made.flatMap(({ way }) => way ?? []);
  const outcomes = await compareWays(ways, prompts, { tokens, seed: 1 });
  for (const row of made) {
    const outcome = row.way && outcomes[ways.indexOf(row.way)];
    rows.push({
      ...row,
      ...(outcome && { speed: outcome.tokensPerSecond, ratio: outcome.ratio, meanDepth: outcome.meanDepth }),
    });
  }
}
rows.sort((a, b) => (b.ratio?.[1] ?? 0) - (a.ratio?.[1] ?? 0));
const data = rows.map(({ way, ...row }) => ({ ...row, name: way?.name }));
await writeReport(values.out, {
  name: "dtypes",
  title: "Every dtype against float32",
  machine: where,
  data: {
    prompts: prompts.length,
    promptTokens,
    tokens,
    calibration: calibration.length,
    test: test.length,
    rows: data,
  },
  tables: [
    {
      title: "Wall clock and agreement, the fastest first",
      note: prose`
        sotu-12 with its heads, one thread; ${prompts.length} beginnings of test speeches, ${tokens} new tokens, all
        ways of a text in turns. Certified at delta 0.05 on ${calibration.length} segments against the float32 model:
        quantisation and exits in one promise, independence of segments assumed. Agreement is measured on
        ${test.length} test segments: of greedy text the share of equal tokens, of sampled text 1 - mean total
        variation.
        Times float32 without exits: median and quartiles over prompts of the same run.`,
      columns: ["text", "weights", "certified", "agreement", "tokens/s", "times float32", "mean depth of 12"],
      rows: rows.map(({ text, dtype, level, refused, agreement, speed, ratio, meanDepth }) => [
        text,
        dtype,
        level === undefined ? "no exits" : percent(level, 0),
        percent(agreement),
        refused ?? speed!.toFixed(0),
        ratio === undefined ? "" : `${ratio[1].toFixed(2)} (${ratio[0].toFixed(2)} to ${ratio[2].toFixed(2)})`,
        meanDepth ?? "",
      ]),
    },
  ],
});
console.log(join(values.out, "dtypes.md"));
