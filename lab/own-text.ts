/**
 * Certificates are about text as given. Do they hold for generated text? The certified policies of the embedded model
 * are judged on continuations of the same beginnings: the speech's own, the full model's, and the policy's own with its
 * exits on; the generated ones both sampled at temperature 1 and greedy. A token is judged as in a certificate: given
 * the same text before it, is the policy's argmax the full model's? Only the continuations count.
 *   tsx lab/own-text.ts [--documents 100] [--prompt 16] [--length 112] [--out bench/reports]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ExitHeads, generateBatch, type GenerateOptions, type Policy } from "early-exits";
import { type CalibrationRecords, type GroupedDocument, playPolicy, recordDocuments } from "early-exits/calibrate";
import { machine } from "./report/machine.js";
import { percent } from "./report/format.js";
import { prose } from "./report/prose.js";
import { reportsFolder } from "./report/script.js";
import { writeReport } from "./report/report.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "./ship/embedded.js";

const { values } = parseArgs({
  options: {
    documents: { type: "string", default: "100" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "112" },
    out: { type: "string", default: reportsFolder },
  },
});
const count = Number(values.documents);
const promptTokens = Number(values.prompt);
const length = Number(values.length);

interface OwnTextRow {
  readonly level: number;
  readonly text: string;
  /** Mean over texts, and its standard error. */
  readonly agreement: number;
  readonly error: number;
  readonly coverage: number;
  readonly meanDepth: number;
}

/** Prompts and their generated continuations, of which every position is judged whose next token was generated. */
async function continued(
  heads: ExitHeads,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<GroupedDocument[]> {
  const run = generateBatch(heads, prompts, {
    ...options,
    maxNewTokens: length,
    stopAtEndOfText: false,
    batchSize: 10,
    seed: 1,
  });
  const texts = prompts.map((prompt) => [...prompt]);
  for await (const { id, prompt } of run) texts[prompt]!.push(id);
  return texts.map(continuation);
}

/** The positions whose next token is in the continuation. */
function continuation(ids: readonly number[]): GroupedDocument {
  return { ids: ids.slice(0, -1), from: promptTokens - 1 };
}

function judge(records: CalibrationRecords, policy: Policy, level: number, text: string): OwnTextRow {
  const { documentAgreement: agreement, coverage, meanDepth } = playPolicy(records, policy);
  const each = records.documents.map((document) => playPolicy({ ...records, documents: [document] }, policy).agreement);
  const error = Math.sqrt(
    each.reduce((sum, value) => sum + (value - agreement) ** 2, 0) / (each.length - 1) / each.length,
  );
  return { level, text, agreement, error, coverage, meanDepth };
}

const where = machine();
const heads = await openHeads();
const { tokenizer } = heads.model;
const documents = (await documentsOf("sotu-12", "test"))
  .map((text) => tokenizer.encode(text).slice(0, promptTokens + length))
  .filter((ids) => ids.length === promptTokens + length)
  .slice(0, count);
const prompts = documents.map((ids) => ids.slice(0, promptTokens));
// The policies are certified for greedy text: what they keep of sampled text is what is asked here.
const sampling = { temperature: 1, allowUncertified: true } as const satisfies GenerateOptions;
const continuationsWith = async (options: GenerateOptions): Promise<CalibrationRecords> =>
  recordDocuments(heads, await continued(heads, prompts, options));

/** Text that does not depend on a policy. */
const independent: Readonly<Record<string, CalibrationRecords>> = {
  "as given": await recordDocuments(heads, documents.map(continuation)),
  "the full model's, sampled": await continuationsWith(sampling),
  "the full model's, greedy": await continuationsWith({}),
};
const rows: OwnTextRow[] = [];
for (const level of levels) {
  const { policy } = await shippedCertificate(level);
  const records = {
    ...independent,
    "the policy's own, sampled": await continuationsWith({ ...sampling, policy }),
    "the policy's own, greedy": await continuationsWith({ policy }),
  };
  const judged = Object.entries(records).map(([text, of]) => judge(of, policy, level / 100, text));
  rows.push(...judged);
  const agreements = judged.map(({ agreement }) => percent(agreement));
  console.error(`certified for ${percent(level / 100)}: ${agreements.join(", ")}`);
}

await writeReport(values.out, {
  name: "own-text",
  title: "Certified policies on text as given and on generated text",
  machine: where,
  data: { documents: documents.length, promptTokens, length, rows },
  tables: [
    {
      title: "Agreement on continuations of the same beginnings",
      note: prose`
        sotu-12 with the heads and certificates that come with it (overall agreement, delta 0.05, certified on text as
        given). ${documents.length} test documents: ${promptTokens} tokens of each are the beginning, and ${length}
        are judged. Agreement is the mean over texts, ± two standard errors.`,
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
