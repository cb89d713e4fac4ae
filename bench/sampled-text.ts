/**
 * Sampled text: how likely the full model finds it, and how fast it is written. Policies certified for sampling (mean
 * total variation at most .01, .05, .1), beside those that come with the model, certified for greedy text, which
 * promise nothing here. The full model judges each text token by token, by an audit. Of the embedded model, or with
 * --model of SmolLM2-135M-Instruct, whose report has the name sampled-text-smollm2.
 *   tsx bench/sampled-text.ts [--prompts 60] [--prompt 16] [--length 112] [--temperature 1] [--top-p 1] [--out DIR]
 *     [--model SmolLM2-135M-Instruct.Q4_1.gguf --documents 600]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exactFill, measureUnitTimes } from "early-exits";
import { Audit, calibrateRecords, recordDocuments } from "early-exits/calibrate";
import { describeSampling } from "early-exits/model";
import { compareWays, type JudgedWay } from "../lab/judged/compare-ways.js";
import { perplexityOf } from "../lab/judged/perplexity.js";
import { machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { writeReport } from "../lab/report/report.js";
import { chatSubject, embeddedSubject } from "../lab/sampled/subjects.js";

const { values } = parseArgs({
  options: {
    prompts: { type: "string", default: "60" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "112" },
    temperature: { type: "string", default: "1" },
    "top-p": { type: "string", default: "1" },
    documents: { type: "string", default: "100000" },
    model: { type: "string" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    out: { type: "string", default: reportsFolder },
  },
});
const tokens = Number(values.length);
const sampling = { temperature: Number(values.temperature), topP: Number(values["top-p"]) };
const where = machine();
const options = {
  sampling,
  documents: Number(values.documents),
  prompts: Number(values.prompts),
  promptTokens: Number(values.prompt),
  tokens,
};
const { model: file, folder, fixtures } = values;
const subject =
  file === undefined ? await embeddedSubject(options) : await chatSubject({ file, folder, fixtures }, options);
const { heads, prompts } = subject;
const records = await recordDocuments(heads, subject.calibration, { sampling });
const fill = exactFill(heads.model.config);
const costs = await measureUnitTimes(heads, { fill });

const ways: JudgedWay[] = [{ name: "plain", heads, options: sampling }];
for (const level of [0.99, 0.95, 0.9]) {
  const { policy } = await calibrateRecords(records, { agreement: level, costs, fill });
  const name = `certified, mean TV at most ${Number((1 - level).toFixed(2))}`;
  ways.push({ name, heads, options: { ...sampling, policy }, audit: new Audit(heads, policy) });
  console.error(`${name}: ${policy.score}, ${policy.exits.map(({ threshold }) => threshold).join(", ")}`);
}
for (const { policy, agreement } of subject.greedy) {
  const name = `certified ${percent(agreement, 0)} for greedy text: no promise`;
  const options = { ...sampling, policy, allowUncertified: true };
  ways.push({ name, heads, options, audit: new Audit(heads, policy, { sampling }) });
}
const outcomes = await compareWays(ways, prompts, { tokens, seed: 1, stopAtEndOfText: file !== undefined });
const rows = [];
for (const [w, outcome] of outcomes.entries()) {
  const { texts, ...numbers } = outcome;
  const report = ways[w]!.audit?.report;
  const perplexity = await perplexityOf(heads.model, texts, prompts);
  rows.push({ ...numbers, perplexity, meanLoss: report?.meanLoss ?? 0, interval: report?.interval });
}
const name = file === undefined ? "sampled-text" : "sampled-text-smollm2";
await writeReport(values.out, {
  name,
  title: `Sampled text under certified policies, ${subject.name}`,
  machine: where,
  data: { sampling, prompts: prompts.length, tokens, calibration: subject.calibration.length, rows },
  tables: [
    {
      title: `Text by ${describeSampling(sampling)}`,
      note: prose`
        ${subject.name}, one thread. ${prompts.length} prompts on which nothing was trained or certified; at most
        ${tokens} new tokens, written by all ways in turns. Perplexity of the text by the full model; mean total
        variation of its tokens, with the 95 % confidence sequence of the audit; median speed, and the ratio to plain
        decoding on the same prompt with its quartiles. Policies for sampled text are certified on
        ${subject.unit}, delta 0.05.`,
      columns: [
        "way",
        "perplexity",
        "mean TV",
        "tokens/s",
        "times plain",
        `mean depth of ${heads.model.config.numLayers}`,
      ],
      rows: rows.map(
        ({ name, perplexity, meanLoss, interval, tokensPerSecond, ratio: [low, median, high], meanDepth }) => [
          name,
          perplexity.toFixed(1),
          interval === undefined
            ? "0"
            : `${meanLoss.toFixed(4)} (${interval.low.toFixed(3)} to ${interval.high.toFixed(3)})`,
          tokensPerSecond.toFixed(0),
          `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`,
          meanDepth,
        ],
      ),
    },
  ],
});
console.log(join(values.out, `${name}.md`));
