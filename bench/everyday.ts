/**
 * Certificates made from everyday prompts, judged on what they were not made from: SmolLM2-135M-Instruct in int8.
 *   npx tsx bench/everyday.ts [--model FILE] [--fixtures FOLDER] [--runs 40] [--texts 80] [--threads 1] [--out FOLDER]
 * 1. On the held-out everyday prompts, which another writer wrote: agreement by level, of the first tokens, by kind,
 *    and a test of "it keeps what it promises" for each level, Holm's correction over all of them.
 * 2. Elsewhere, where nothing is promised: answers to items of benchmarks, encyclopedia and stories as given text.
 * 3. The speed on held-out prompts, beside the policies that were certified on items of benchmarks.
 * Policies with an exact fill are judged on the full model's own answers (teacher-forced), others on text that they run
 * on. Writes everyday.md and everyday.json.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Certificate, Policy } from "early-exits";
import { type CalibrationDocument, type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { compareWays, type Comparison } from "early-exits/evaluate";
import { isExactFill, selfAnswers } from "early-exits/exits";
import { answerDocument } from "early-exits/model";
import { holm } from "early-exits/risk";
import { createDevice, folderStore, readHeads, readModel } from "early-exits/node";
import { everydayAnswers } from "../lab/pretrained/everyday/prompts.js";
import { heldPrompts } from "../lab/pretrained/held-prompts.js";
import { documentOf } from "../lab/pretrained/answers.js";
import { encodePrompts } from "../lab/pretrained/prompts.js";
import { readCertificates } from "../lab/pretrained/read-certificates.js";
import { percent } from "../lab/report/format.js";
import { machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { type Table, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { wsrPValue } from "../src/risk/betting-bound.js";

const MAX_NEW_TOKENS = 144;
/** Tokens of given texts. */
const TEXT_TOKENS = 256;
/** Beginning of an answer. */
const FIRST = 8;
/** Of a claim that all levels keep their promise. */
const DELTA = 0.05;

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    /** Prompts by the clock, and texts of each other population. */
    runs: { type: "string", default: "40" },
    texts: { type: "string", default: "80" },
    threads: { type: "string", default: "1" },
    /** A folder that keeps records from run to run. */
    store: { type: "string" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const certificates = await readCertificates(join(values.folder, "certificates"));
const items = await readCertificates("lab/pretrained/items");
const exact = certificates.filter(({ policy }) => isExactFill(policy.fill));
const device = await createDevice("wasm", { threads: Number(values.threads) });
const model = await readModel(file, { device, dtype: "int8" });
const heads = await readHeads(join(values.folder, "heads"), model);
const texts = Number(values.texts);
const held = (await everydayAnswers(model.tokenizer, "int8")).filter(({ split }) => split === "held");

const judged = await record("held out", held.map(documentOf));
const populations = [
  ["everyday prompts, held out", judged],
  ["items of benchmarks", await record("items", await answeredItems())],
  ["encyclopedia", await record("encyclopedia", await articles())],
  ["stories", await record("stories", await stories())],
] as const;
const promises = tested(exact.map((certificate) => ({ certificate, ...keptBy(judged, certificate.policy) })));
const kinds = [...new Set(held.map(({ kind }) => kind))].sort();
const speed = await compareWays(
  heads,
  [
    { name: "plain", options: {} },
    ...certificates.map(({ agreement, policy }) => wayOf(`everyday ${percent(agreement, 0)}`, policy)),
    ...items.map(({ agreement, policy }) => wayOf(`items ${percent(agreement, 0)}`, policy)),
  ],
  held.slice(0, Number(values.runs)).map(({ prompt }) => prompt),
  {
    runs: Number(values.runs),
    maxNewTokens: MAX_NEW_TOKENS,
    stopAtEndOfText: true,
    onRun: ({ done, total }) => {
      console.error(`run ${done} of ${total}`);
    },
  },
);
const report = {
  name: "everyday",
  title: "Certificates made from everyday prompts",
  machine: where,
  data: {
    promises: promises.map(({ certificate, ...found }) => ({ level: certificate.agreement, ...found })),
    speed: speed.results,
  },
  tables: [promiseTable(), kindTable(), elsewhereTable(), speedTable(speed)],
};
await writeReport(values.out, report);
console.log(toMarkdown(report));
heads.dispose();
model.dispose();
await device.dispose();

interface Kept {
  readonly agreement: number;
  readonly standardError: number;
  readonly first: number;
  /** Of the null hypothesis "it keeps at least what the level says". */
  readonly pValueAt: (level: number) => number;
}

/** Agreement of a policy on records, mean over documents. */
function keptBy(records: CalibrationRecords, policy: Policy): Kept {
  const each = records.documents.map((document) => agreementOf({ ...records, documents: [document] }, policy));
  const mean = each.reduce((sum, value) => sum + value, 0) / each.length;
  const variance = each.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (each.length - 1);
  return {
    agreement: mean,
    standardError: Math.sqrt(variance / each.length),
    first: agreementOf({ ...records, documents: records.documents.map(beginningOf) }, policy),
    pValueAt: (level) => wsrPValue(Float64Array.from(each), level, DELTA),
  };
}

function agreementOf(records: CalibrationRecords, policy: Policy): number {
  return playPolicy(records, policy).documentAgreement;
}

type DocumentRecord = CalibrationRecords["documents"][number];

function beginningOf(document: DocumentRecord): DocumentRecord {
  const positions = Math.min(FIRST, document.positions);
  const exits = document.exits.map(({ stats, agrees }) => ({
    stats: stats.subarray(0, (stats.length / document.positions) * positions),
    agrees: agrees.subarray(0, positions),
  }));
  return { ...document, positions, exits };
}

interface Promised extends Kept {
  readonly certificate: Certificate;
}

/** p-values and verdicts: the promises that are contradicted, at 5 % over all of them. */
function tested(kept: readonly Promised[]) {
  const pValues = kept.map(({ certificate, pValueAt }) => pValueAt(certificate.agreement));
  const contradicted = holm(pValues, DELTA);
  return kept.map((promise, i) => ({ ...promise, pValue: pValues[i]!, contradicted: contradicted.includes(i) }));
}

function promiseTable(): Table {
  return {
    title: "On held-out everyday prompts",
    note: prose`The full model's own greedy answers of at most ${MAX_NEW_TOKENS} tokens to ${held.length} prompts of
      another writer; the unit is the prompt. p: of the hypothesis that the level is kept; contradicted by Holm's
      procedure at ${percent(DELTA, 0)} over all levels.`,
    columns: [
      "certified",
      "answers tested",
      "agreement in the test",
      "held out",
      "standard error",
      `first ${FIRST} tokens`,
      "p",
      "",
    ],
    rows: promises.map(({ certificate, agreement, standardError, first, pValue, contradicted }) => [
      percent(certificate.agreement, 0),
      String(certificate.documents.length - certificate.split.grid),
      percent(certificate.measured.documentAgreement),
      percent(agreement),
      percent(standardError),
      percent(first),
      pValue.toFixed(2),
      contradicted ? "contradicted" : "holds",
    ]),
  };
}

function kindTable(): Table {
  return {
    title: "By kind",
    note: "The same prompts. Kinds are labels; nothing is promised for one of them.",
    columns: ["kind", "prompts", ...exact.map(({ agreement }) => percent(agreement, 0))],
    rows: kinds.map((kind) => {
      const documents = judged.documents.filter((_, i) => held[i]!.kind === kind);
      return [
        kind,
        String(documents.length),
        ...exact.map(({ policy }) => percent(agreementOf({ ...judged, documents }, policy))),
      ];
    }),
  };
}

function elsewhereTable(): Table {
  return {
    title: "Elsewhere",
    note: prose`Nothing is promised here: another population. Items: the model's greedy answers to held-out prompts made
      from benchmarks and texts. Encyclopedia (WikiText) and stories (TinyStories): given text of at most
      ${TEXT_TOKENS} tokens.`,
    columns: ["text", "documents", ...exact.map(({ agreement }) => percent(agreement, 0))],
    rows: populations.map(([name, records]) => [
      name,
      String(records.documents.length),
      ...exact.map(({ policy }) => percent(agreementOf(records, policy))),
    ]),
  };
}

function speedTable({ runs, results }: Comparison): Table {
  return {
    title: "Speed",
    note: prose`Greedy answers of at most ${MAX_NEW_TOKENS} tokens to ${runs} held-out everyday prompts,
      ${values.threads} thread(s), every way in turn on every prompt. Ratio: median of the tokens per second over that
      of plain decoding; quartiles of the ratios by prompt. Agreement: tokens that the full model would have chosen
      after the same text. "items": the policies certified on answers to items of benchmarks, which promise nothing
      here.`,
    columns: ["", "tokens/s", "ratio", "quartiles", "mean depth", "agreement"],
    rows: results.map(({ name, tokensPerSecond, ratio, meanDepth, agreement }) => [
      name,
      tokensPerSecond.toFixed(0),
      ratio.median.toFixed(2),
      `${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)}`,
      meanDepth.toFixed(2),
      percent(agreement),
    ]),
  };
}

function wayOf(name: string, policy: Policy) {
  return { name: `${name}, ${policy.fill}`, options: { policy } };
}

function record(name: string, documents: readonly CalibrationDocument[]): Promise<CalibrationRecords> {
  return recordDocuments(heads, documents, {
    ...(values.store !== undefined && { store: folderStore(values.store) }),
    onDocument: ({ document, documents: all }) => {
      if (document % 20 === 0) console.error(`${name}: ${document} of ${all}`);
    },
  });
}

async function answeredItems(): Promise<CalibrationDocument[]> {
  const asked = (await heldPrompts(values.fixtures, model.tokenizer, [])).slice(0, texts);
  const ids = await encodePrompts(model.tokenizer, asked);
  const documents: CalibrationDocument[] = [];
  const settings = { temperature: 0, seed: 0, maxNewTokens: MAX_NEW_TOKENS, batchSize: 16 };
  for await (const { prompt, answer } of selfAnswers(model, ids, settings)) {
    documents.push(answerDocument(prompt, answer));
  }
  return documents;
}

async function articles(): Promise<CalibrationDocument[]> {
  const lines = (await readFile(join(values.fixtures, "text/wikitext2_valid.txt"), "utf8")).split("\n");
  return beginnings(lines.map((line) => line.trim()).filter((line) => line.length > 400));
}

async function stories(): Promise<CalibrationDocument[]> {
  const lines = (await readFile(join(values.fixtures, "text/tinystories_clean.jsonl"), "utf8")).trim().split("\n");
  return beginnings(lines.map((line) => (JSON.parse(line) as { text: string }).text));
}

function beginnings(documents: readonly string[]): number[][] {
  return documents.slice(0, texts).map((text) => model.tokenizer.encode(text).slice(0, TEXT_TOKENS));
}
