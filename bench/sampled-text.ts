/**
 * Sampled text: how likely the full model finds it, and how fast it is written. Policies of the embedded model,
 * certified for sampling (mean total variation at most .01, .05, .1), beside those that ship, certified for greedy
 * text, which promise nothing here. Each text is judged by the full model token by token, by an audit.
 *   tsx bench/sampled-text.ts [--prompts 60] [--prompt 16] [--length 112] [--temperature 1] [--top-p 1] [--out DIR]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureUnitTimes } from "early-exits";
import { calibrateRecords, recordDocuments } from "early-exits/calibrate";
import { Audit } from "early-exits/exits";
import { describeSampling } from "early-exits/model";
import { compareWays, type JudgedWay, perplexityOf } from "../lab/judged/index.js";
import { machine, percent, prose, reportsFolder, writeReport } from "../lab/report/index.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "../lab/ship/index.js";

const { values } = parseArgs({
  options: {
    prompts: { type: "string", default: "60" },
    prompt: { type: "string", default: "16" },
    length: { type: "string", default: "112" },
    temperature: { type: "string", default: "1" },
    "top-p": { type: "string", default: "1" },
    documents: { type: "string", default: "100000" },
    out: { type: "string", default: reportsFolder },
  },
});
const promptTokens = Number(values.prompt);
const tokens = Number(values.length);
const sampling = { temperature: Number(values.temperature), topP: Number(values["top-p"]) };
const where = machine();
const heads = await openHeads();
await heads.freeze();
const calibration = (await documentsOf("sotu-12", "calibration")).slice(0, Number(values.documents));
const prompts = (await documentsOf("sotu-12", "test"))
  .map((text) => heads.model.tokenizer.encode(text).slice(0, promptTokens))
  .slice(0, Number(values.prompts));
const records = await recordDocuments(heads, calibration, { sampling });
const costs = await measureUnitTimes(heads);

const audit = (agreement: number): Audit => new Audit({ agreement, onAlarm: "continue" });
const ways: JudgedWay[] = [{ name: "plain", heads, options: sampling }];
for (const level of [0.99, 0.95, 0.9]) {
  const { policy } = await calibrateRecords(records, { agreement: level, costs });
  const name = `certified, mean TV at most ${Number((1 - level).toFixed(2))}`;
  ways.push({ name, heads, options: { ...sampling, policy }, audit: audit(level) });
  console.error(`${name}: ${policy.score}, ${policy.exits.map(({ threshold }) => threshold).join(", ")}`);
}
for (const level of levels) {
  const { policy } = await shippedCertificate(level);
  const options = { ...sampling, policy, allowUncertified: true };
  ways.push({ name: `certified ${level} % for greedy text: no promise`, heads, options, audit: audit(level / 100) });
}
const outcomes = await compareWays(ways, prompts, { tokens, seed: 1 });
const rows = [];
for (const [w, outcome] of outcomes.entries()) {
  const { texts, ...numbers } = outcome;
  const report = ways[w]!.audit?.report;
  const perplexity = await perplexityOf(heads.model, texts, promptTokens);
  rows.push({ ...numbers, perplexity, meanLoss: report?.meanLoss ?? 0, interval: report?.interval });
}
await writeReport(values.out, {
  name: "sampled-text",
  title: "Sampled text under certified policies",
  machine: where,
  data: { sampling, prompts: prompts.length, promptTokens, tokens, calibration: calibration.length, rows },
  tables: [
    {
      title: `Text by ${describeSampling(sampling)}`,
      note: prose`
        sotu-12 with its heads, one thread. ${prompts.length} beginnings of test speeches, ${promptTokens} tokens each;
        ${tokens} new tokens, written by all ways in turns. Perplexity of the text by the full model; mean total
        variation of its tokens, with the 95 % confidence sequence of the audit; median speed, and the ratio to plain
        decoding on the same prompt with its quartiles. Policies for sampled text are certified on
        ${calibration.length} segments, delta 0.05, independence of segments assumed.`,
      columns: ["way", "perplexity", "mean TV", "tokens/s", "times plain", "mean depth of 12"],
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
console.log(join(values.out, "sampled-text.md"), percent(1));
