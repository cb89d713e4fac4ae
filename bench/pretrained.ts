/**
 * Gains of exits on a pretrained chat model that nobody trained for them: SmolLM2-135M-Instruct, with the heads and
 * certificates from items of benchmarks (int8: in lab/pretrained/items; the shipped ones are judged by everyday.ts), on
 * prompts like these that nothing was trained or certified on.
 *   npm run bench:pretrained [-- --model FILE] [--dtype int8] [--fixtures FOLDER] [--runs 40] [--others 20]
 *     [--threads 1] [--out FOLDER]
 * Each way answers each prompt greedily, in turn: plain decoding, the certified policies (at every level the one that
 * unit times make the fastest here, if there are several), lossless drafting by the look-ahead head.
 * Speeds are ratios to plain decoding in the same dtype and run; the full model judges every token of every answer. The
 * counts of the ledger at unit times measured in the same process predict the time, which the clock is compared with.
 * Where plain decoding screens the unembedding, it also runs without, which is exits off and nothing else on. A second
 * table, on `--others` of the prompts, has the other ways of being faster: dtypes and fewer blocks. Writes
 * pretrained.md, pretrained.json, pretrained.svg and pretrained-dtypes.svg. With --dtype float32 or bfloat16, with the
 * policies that are certified for that dtype, pretrained-float32 and so on; without the second table.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Certificate, exactFill, type FillName, measureUnitTimes, type UnitTimes } from "early-exits";
import { fastestCertificate } from "early-exits/calibrate";
import { tokenTime } from "../src/calibrate/token-time.js";
import { predictTime } from "early-exits/exits";
import { compareWays, type Comparison, type Way } from "early-exits/evaluate";
import type { ModelDtype } from "early-exits/model";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { alternativesChart, alternativesTable } from "../lab/pretrained/show-alternatives.js";
import { encodePrompts } from "../lab/pretrained/prompts.js";
import { compareAlternatives } from "../lab/pretrained/alternatives.js";
import { debtsTable } from "../lab/pretrained/debts-table.js";
import { heldPrompts } from "../lab/pretrained/held-prompts.js";
import { promiseTable } from "../lab/pretrained/promise-table.js";
import { readCertificates } from "../lab/pretrained/read-certificates.js";
import { barChart } from "../lab/report/charts.js";
import { machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { type Table, toMarkdown, writeReport } from "../lab/report/report.js";

/** Tokens per answer at most, as in calibration. */
const MAX_NEW_TOKENS = 144;
/** Plain decoding with all logits of every token. */
const FULL = "plain, all logits";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    dtype: { type: "string", default: "int8" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    runs: { type: "string", default: "40" },
    others: { type: "string", default: "20" },
    threads: { type: "string", default: "1" },
    out: { type: "string", default: reportsFolder },
  },
});

const where = machine();
const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const dtype = values.dtype as ModelDtype;
/** The dtype that the exits were made for. */
const isUsual = dtype === "int8";
const shipped = await readCertificates(isUsual ? "lab/pretrained/items" : join(values.folder, "certificates", dtype));
const device = await createDevice("wasm", { threads: Number(values.threads) });
const model = await readModel(file, { device, dtype });
const heads = await readHeads(join(values.folder, "heads"), model);
const runs = Number(values.runs);
const held = (await heldPrompts(values.fixtures, model.tokenizer, shipped)).slice(0, runs);
const prompts = await encodePrompts(model.tokenizer, held);

/** Unit times with each fill, measured before the runs and after them. */
const times = new Map<FillName, UnitTimes[]>();
const certificates: Certificate[] = [];
for (const { policy } of shipped) await unitTimes(policy.fill);
for (const level of new Set(shipped.map(({ agreement }) => agreement))) {
  const [first, ...others] = shipped.filter(({ agreement }) => agreement === level);
  certificates.push(await fastestCertificate([first!, ...others], unitTimes));
}
const screens = model.unembedding === "screened";
const ways: Way[] = [
  { name: "plain", options: {} },
  ...(screens ? [{ name: FULL, options: {}, unembedding: "full" } as const] : []),
  ...certificates.map(({ agreement, policy }): Way => ({
    name: `certified ${percent(agreement, 0)}`,
    options: { policy },
  })),
  {
    name: "lossless",
    options: { policy: certificates.at(-1)!.policy, lossless: { costs: await unitTimes(exactFill(model.config)) } },
  },
];
/** Unit times with the whole product, before the runs and after them; none where plain decoding takes it anyway. */
const allLogits = screens ? [await measureAllLogits()] : [];
const comparison = await compareWays(heads, ways, prompts, {
  runs,
  maxNewTokens: MAX_NEW_TOKENS,
  stopAtEndOfText: true,
  onRun({ done, total }) {
    console.error(`run ${done} of ${total}`);
  },
});
for (const [fill, measured] of times) measured.push(await measureFill(fill));
if (screens) allLogits.push(await measureAllLogits());
const depths = heads.depths;
heads.dispose();
model.dispose();
const compared = prompts.slice(0, isUsual ? Number(values.others) : 0);
const others = await compareAlternatives(compared, {
  device,
  file,
  headsFolder: join(values.folder, "heads"),
  policies: new Map(
    certificates.map(({ agreement, policy }) => [`policy of ${percent(agreement, 0)}`, policy] as const),
  ),
  dtype,
  maxNewTokens: MAX_NEW_TOKENS,
});

const report = {
  name: ["pretrained", ...(isUsual ? [] : [dtype])].join("-"),
  title: `Exits on SmolLM2-135M-Instruct, which nobody trained for them${isUsual ? "" : `, in ${dtype}`}`,
  machine: where,
  data: {
    depths,
    dtype,
    runs: comparison.runs,
    times: Object.fromEntries(times),
    results: comparison.results,
    others,
    levels: certificates.map(({ agreement, policy, measured, documents, split }) => ({
      agreement,
      score: policy.score,
      thresholds: policy.exits,
      measured,
      tested: documents.length - split.grid,
    })),
  },
  tables: [
    speedTable(comparison),
    debtsTable(comparison, unitsOf),
    promiseTable(shipped, (certificate) => tokenTime(certificate, times.get(certificate.policy.fill)![0]!)),
    ...(others.length > 0
      ? [alternativesTable(others, { prompts: values.others, threads: values.threads, dtype })]
      : []),
    timesTable(),
  ],
};
const bars = comparison.results.slice(screens ? 2 : 1).map(({ name, agreement, ratio }) => ({
  label: `${name}, agreement ${percent(agreement)}`,
  value: ratio.median,
  group: name.startsWith("lossless") ? "lossless" : "certified",
}));
await writeReport(values.out, report, {
  [report.name]: barChart(bars, { title: `Speed over plain ${dtype} decoding`, unit: "times" }),
  ...(others.length > 0 && { [`${report.name}-dtypes`]: alternativesChart(others) }),
});
console.log(toMarkdown(report));
await device.dispose();

function measureFill(fill: FillName): Promise<UnitTimes> {
  return measureUnitTimes(heads, { fill, context: 160, time: 4000 });
}

/** Unit times of a model that computes all logits. */
async function measureAllLogits(): Promise<UnitTimes> {
  model.setUnembedding("full");
  const measured = await measureFill(exactFill(model.config));
  model.setUnembedding("screened");
  return measured;
}

/** The unit times with a fill, as measured first. */
async function unitTimes(fill: FillName): Promise<UnitTimes> {
  const [first] = times.get(fill) ?? [await measureFill(fill)];
  if (!times.has(fill)) times.set(fill, [first!]);
  return first!;
}

/** The unit times that a way's counts are multiplied by, as measured first. */
function unitsOf(way: number): UnitTimes {
  return measuredUnits(way)[0]!;
}

function measuredUnits(way: number): readonly UnitTimes[] {
  const { options, unembedding } = ways[way]!;
  return unembedding === "full" ? allLogits : times.get(options.policy?.fill ?? exactFill(model.config))!;
}

/** Plain decoding's time a token over a way's, by the counts at unit times measured twice: the median over prompts. */
function expectedRatio({ summaries }: Comparison, way: number): number {
  const plainUnits = measuredUnits(ways[way]!.unembedding === "full" ? 0 : way);
  const ratios = measuredUnits(way)
    .flatMap((units, measurement) =>
      summaries[way]!.map(({ ledger, ids }, run) => {
        const plain = summaries[0]![run]!;
        const perToken = predictTime(ledger, units) / ids.length;
        return predictTime(plain.ledger, plainUnits[measurement]!) / plain.ids.length / perToken;
      }),
    )
    .toSorted((a, b) => a - b);
  return ratios[ratios.length >> 1]!;
}

function speedTable(of: Comparison): Table {
  return {
    title: "Speed",
    note: prose`Greedy answers of at most ${MAX_NEW_TOKENS} tokens to ${of.runs} held-out prompts, ${values.threads}
      thread(s), every way in turn on every prompt. Ratio: the median of the tokens per second over that of plain
      decoding; quartiles: of the ratios by prompt. Expected: the same ratio by the ledger's counts at unit times.
      Agreement: tokens that the full model would have chosen after the same text. ${screens ? screeningNote() : ""}
      Lossless: the look-ahead head drafts, and these unit times choose which drafts are kept.`,
    columns: [
      "",
      "fill",
      "tokens/s",
      "ratio",
      "quartiles",
      "expected",
      ...(screens ? ["over all logits"] : []),
      "mean depth",
      "agreement",
    ],
    rows: of.results.map(({ name, tokensPerSecond, ratio, meanDepth, agreement, identical }, way) => [
      name,
      ways[way]!.options.policy?.fill ?? "",
      tokensPerSecond.toFixed(0),
      ratio.median.toFixed(2),
      `${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)}`,
      expectedRatio(of, way).toFixed(2),
      ...(screens ? [(tokensPerSecond / of.results[1]!.tokensPerSecond).toFixed(2)] : []),
      meanDepth.toFixed(2),
      identical ? "identical" : percent(agreement),
    ]),
  };
}

function screeningNote(): string {
  return prose`Plain decoding, and a token that no head chose, find the largest logit by screening. Over all logits:
    the ratio to plain decoding that computes all of them.`;
}

function timesTable(): Table {
  const milliseconds = (time: number): string => time.toFixed(3);
  const [first, ...others] = [...times].map(([fill, [measured]]) => ({ fill, measured: measured! }));
  const { block, finalHead, heads: headTimes } = first!.measured;
  return {
    title: "Unit times",
    note: prose`Milliseconds, medians, in ${dtype}, at 160 tokens of context. Keys and values: those of all blocks that
      a token skips, with the fill project.`,
    columns: ["unit", "1 row", "2 rows", "3 rows", "4 rows"],
    rows: [
      ["block", ...block.slice(0, 4).map(({ cost }) => milliseconds(cost))],
      ["unembedding", ...finalHead.slice(0, 4).map(({ cost }) => milliseconds(cost))],
      ...depths.map((depth, i) => [`head at ${depth}`, milliseconds(headTimes[i]!), "", "", ""]),
      ...others.map(({ measured: { fills } }) => ["keys and values", milliseconds(fills[0]!.cost), "", "", ""]),
    ],
  };
}
