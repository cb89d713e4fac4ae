/**
 * Certificates speak of text as given. What do they say of text that is being generated? The certified policies of the
 * embedded model, judged on five kinds of continuations of the same beginnings: the speech's own, and what the full
 * model and the policy (with its exits on) generate, each sampled at temperature 1 and greedy. Each token is judged as
 * the certificate does: would the full model, on the same text before it, prefer the token that the policy prefers?
 * Only the continuations count.
 *   tsx lab/own-text.ts [--documents 100] [--prompt 16] [--length 112] [--out bench/reports]
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type ExitHeads, generateBatch, type GenerateOptions, type Policy } from "early-exits";
import { type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { machine, writeReport } from "./report/index.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "./ship/index.js";

const { values } = parseArgs({
  options: {
    documents: { type: "string", default: "100" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "112" },
    out: { type: "string", default: fileURLToPath(new URL("../bench/reports", import.meta.url)) },
  },
});
const [count, promptTokens, length] = [values.documents, values.prompt, values.length].map(Number) as [
  number,
  number,
  number,
];

export interface OwnTextRow {
  readonly level: number;
  readonly text: string;
  /** Mean over texts, and its standard error. */
  readonly agreement: number;
  readonly error: number;
  readonly coverage: number;
  readonly meanDepth: number;
}

/** Prompts and what a way of generating makes of them, as token ids. */
async function continued(
  heads: ExitHeads,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<number[][]> {
  const run = generateBatch(heads, prompts, {
    ...options,
    maxNewTokens: length,
    stopAtEndOfText: false,
    batchSize: 10,
    seed: 1,
  });
  const texts = prompts.map((prompt) => [...prompt]);
  for await (const { id, prompt } of run) texts[prompt]!.push(id);
  return texts;
}

/** Records of the continuations alone: of the positions whose next token was chosen. */
async function recordContinuations(
  heads: ExitHeads,
  texts: readonly (readonly number[])[],
): Promise<CalibrationRecords> {
  const records = await recordDocuments(heads, texts);
  const from = promptTokens - 1;
  const to = promptTokens + length - 1;
  return {
    ...records,
    documents: records.documents.map((document) => ({
      ...document,
      positions: to - from,
      exits: document.exits.map(({ stats, agrees }) => ({
        stats: stats.slice(5 * from, 5 * to),
        agrees: agrees.slice(from, to),
      })),
    })),
  };
}

function judge(records: CalibrationRecords, policy: Policy, level: number, text: string): OwnTextRow {
  const { documentAgreement: agreement, coverage, meanDepth } = playPolicy(records, policy);
  const each = records.documents.map((document) => playPolicy({ ...records, documents: [document] }, policy).agreement);
  const error = Math.sqrt(
    each.reduce((sum, value) => sum + (value - agreement) ** 2, 0) / (each.length - 1) / each.length,
  );
  return { level, text, agreement, error, coverage, meanDepth };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const where = machine();
const heads = await openHeads();
await heads.freeze();
const { tokenizer } = heads.model;
const documents = (await documentsOf("sotu-12", "test"))
  .map((text) => tokenizer.encode(text).slice(0, promptTokens + length))
  .filter((ids) => ids.length === promptTokens + length)
  .slice(0, count);
const prompts = documents.map((ids) => ids.slice(0, promptTokens));
const sampled = { temperature: 1 } as const satisfies GenerateOptions;
const shared: readonly (readonly [string, CalibrationRecords])[] = [
  ["as given", await recordContinuations(heads, documents)],
  ["the full model's, sampled", await recordContinuations(heads, await continued(heads, prompts, sampled))],
  ["the full model's, greedy", await recordContinuations(heads, await continued(heads, prompts, {}))],
];
const rows: OwnTextRow[] = [];
for (const level of levels) {
  const { policy } = await shippedCertificate(level);
  for (const [text, records] of shared) rows.push(judge(records, policy, level / 100, text));
  rows.push(
    judge(
      await recordContinuations(heads, await continued(heads, prompts, { ...sampled, policy })),
      policy,
      level / 100,
      "the policy's own, sampled",
    ),
  );
  rows.push(
    judge(
      await recordContinuations(heads, await continued(heads, prompts, { policy })),
      policy,
      level / 100,
      "the policy's own, greedy",
    ),
  );
  console.error(
    `certified for ${percent(level / 100)}: ${rows
      .slice(-5)
      .map(({ agreement }) => percent(agreement))
      .join(", ")}`,
  );
}

await writeReport(values.out, {
  name: "own-text",
  title: "Certified policies on text as given and on generated text",
  machine: where,
  data: { documents: documents.length, promptTokens, length, rows },
  tables: [
    {
      title: "Agreement on continuations of the same beginnings",
      note:
        "sotu-12 with the heads and certificates that come with it (overall agreement, delta .05, certified on " +
        `text as given). ${documents.length} test documents, ${promptTokens} tokens each as a beginning ` +
        `and ${length} judged. Agreement is the mean over texts, ± two standard errors.`,
      columns: ["certified", "text", "agreement", "leave early", "mean depth of 12"],
      rows: rows.map(({ level, text, agreement, error, coverage, meanDepth }) => [
        percent(level),
        text,
        `${percent(agreement)} ± ${(200 * error).toFixed(1)}`,
        percent(coverage),
        meanDepth,
      ]),
    },
  ],
});
console.log(join(values.out, "own-text.md"));
