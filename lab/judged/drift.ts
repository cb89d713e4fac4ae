/**
 * Where the certified policies of the embedded model keep more, and where less, than on average: on test speeches of
 * five periods, and along the greedy text that a policy writes itself. A certificate bounds a mean over documents; it
 * says nothing about either.
 *   tsx lab/judged/drift.ts [--documents 100000] [--texts 99] [--prompt 16] [--length 200] [--out DIR]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generateBatch, type Policy } from "early-exits";
import { type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { machine } from "../report/machine.js";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";
import { reportsFolder } from "../report/script.js";
import { writeReport } from "../report/report.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "../ship/embedded.js";
import { loadSotu, splitCorpus } from "../ship/corpus.js";
import { type Segment, shippingTexts } from "../ship/texts.js";
import { SPLIT_SEED } from "../ship/segments.js";

const { values } = parseArgs({
  options: {
    documents: { type: "string", default: "100000" },
    texts: { type: "string", default: "99" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "200" },
    out: { type: "string", default: reportsFolder },
  },
});
const promptTokens = Number(values.prompt);
const length = Number(values.length);
/** The first year of each period. */
const PERIODS = [1790, 1840, 1900, 1950, 1995, 2022] as const;
/** Tokens at which own text is cut: what own-text.md judges, and what comes after. */
const CUT = 112;
const where = machine();
const heads = await openHeads();
const certificates = await Promise.all(levels.map((level) => shippedCertificate(level)));

interface Kept {
  readonly mean: number;
  /** Twice the standard error. */
  readonly error: number;
  readonly count: number;
}

/** The mean of the means of groups, and how uncertain it is if groups are independent. */
function keptBy(groups: ReadonlyMap<string, readonly number[]>): Kept {
  const means = Array.from(groups.values(), (list) => list.reduce((sum, value) => sum + value / list.length, 0));
  const mean = means.reduce((sum, value) => sum + value / means.length, 0);
  const squares = means.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: 2 * Math.sqrt(squares / (means.length - 1) / means.length), count: means.length };
}

function shown({ mean, error }: Kept): string {
  return `${percent(mean)} ± ${(100 * error).toFixed(1)}`;
}

/** Share of each document that a policy keeps. */
function keptOf(records: CalibrationRecords, policy: Policy): number[] {
  return records.documents.map((document) => playPolicy({ ...records, documents: [document] }, policy).agreement);
}

function byPeriod(segments: readonly Segment[], records: CalibrationRecords, policy: Policy): Kept[] {
  const each = keptOf(records, policy);
  return PERIODS.slice(1).map((end, period) => {
    const groups = new Map<string, number[]>();
    for (const [d, { group }] of segments.entries()) {
      const year = Number(group.slice(0, 4));
      if (year < PERIODS[period]! || year >= end) continue;
      groups.set(group, [...(groups.get(group) ?? []), each[d]!]);
    }
    return keptBy(groups);
  });
}

/** Records of the positions of the new tokens from `from` on, before `to`. */
function part(records: CalibrationRecords, from: number, to: number): CalibrationRecords {
  const [begin, end] = [promptTokens - 1 + from, promptTokens - 1 + to];
  return {
    ...records,
    documents: records.documents.map((document) => ({
      ...document,
      positions: end - begin,
      exits: document.exits.map(({ stats, agrees }) => ({
        stats: stats.slice(5 * begin, 5 * end),
        agrees: agrees.slice(begin, end),
      })),
    })),
  };
}

async function ownGreedy(prompts: readonly (readonly number[])[], policy: Policy): Promise<Kept[]> {
  const texts = prompts.map((prompt) => [...prompt]);
  const options = { policy, maxNewTokens: length, stopAtEndOfText: false, batchSize: 10 };
  for await (const { id, prompt } of generateBatch(heads, prompts, options)) texts[prompt]!.push(id);
  const records = await recordDocuments(heads, texts);
  const kept = (begin: number, end: number, count: number): Kept => {
    const each = keptOf(part(records, begin, end), policy).slice(0, count);
    return keptBy(new Map(each.map((value, i) => [String(i), [value]])));
  };
  return [
    kept(0, CUT, texts.length),
    kept(CUT, length, texts.length),
    kept(0, length, texts.length),
    kept(0, length, 40),
  ];
}

const corpus = splitCorpus(loadSotu().documents, SPLIT_SEED);
const segments = shippingTexts(corpus).test.slice(0, Number(values.documents));
const records = await recordDocuments(
  heads,
  segments.map(({ text }) => text),
);
if (records.documents.length !== segments.length) throw new Error("lab: a segment has no tokens to judge");
const prompts = (await documentsOf("sotu-12", "test"))
  .map((text) => heads.model.tokenizer.encode(text).slice(0, promptTokens))
  .slice(0, Number(values.texts));
const rows = [];
for (const [i, { policy, agreement }] of certificates.entries()) {
  rows.push({ agreement, periods: byPeriod(segments, records, policy), own: await ownGreedy(prompts, policy) });
  console.error(`${levels[i]!} % done`);
}
await writeReport(values.out, {
  name: "drift",
  title: "Where certified policies keep more or less than on average",
  machine: where,
  data: { segments: segments.length, periods: PERIODS, texts: prompts.length, promptTokens, length, rows },
  tables: [
    {
      title: "Test speeches by period",
      note: prose`
        sotu-12 with the certificates that come with it, greedy text as given: ${segments.length} segments of speeches
        on which nothing was trained or certified. Mean over speeches of the mean over their segments, ± two standard
        errors with speeches as units. The first row counts the speeches.`,
      columns: ["certified", ...PERIODS.slice(1).map((end, period) => `${PERIODS[period]!} to ${end - 1}`)],
      rows: [
        ["speeches", ...rows[0]!.periods.map(({ count }) => count)],
        ...rows.map(({ agreement, periods }) => [percent(agreement, 0), ...periods.map(shown)]),
      ],
    },
    {
      title: "Greedy text of the policy's own, by place in the text",
      note: prose`
        ${prompts.length} beginnings of test speeches, ${promptTokens} tokens each, and ${length} new tokens; mean over
        texts, ± two standard errors. own-text.md judges the first ${CUT} tokens of ${prompts.length} texts, speedup.md
        all ${length} of 40 texts that begin elsewhere.`,
      columns: ["certified", `tokens 1 to ${CUT}`, `tokens ${CUT + 1} to ${length}`, "all", "all, the first 40 texts"],
      rows: rows.map(({ agreement, own }) => [percent(agreement, 0), ...own.map(shown)]),
    },
  ],
});
console.log(join(values.out, "drift.md"));
