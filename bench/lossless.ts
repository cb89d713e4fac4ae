/**
 * Lossless decoding: ways of it compared on real text (lab/lossless/ways.ts), their drafts replayed on a large model
 * (lab/lossless/replay.ts), and a simulation compared with the formula (lab/lossless/simulation.ts). Writes
 * bench/reports/lossless.md. Part of `npm run bench`; alone:
 *   npx tsx bench/lossless.ts [--model FOLDER] [--heads FOLDER] [--text FILE] [--steps 300] [--prompts 60]
 *                             [--tuning 150] [--tokens 64] [--only ways|replay|simulation] [--out FOLDER]
 */
import { parseArgs } from "node:util";
import { losslessDefaults, type LosslessPartName, losslessReport } from "../lab/lossless/index.js";
import { describeMachine, machine, toMarkdown } from "../lab/report/index.js";

const { steps, prompts, tuning, tokens } = losslessDefaults;
const { values } = parseArgs({
  options: {
    out: { type: "string", default: losslessDefaults.out },
    model: { type: "string", default: losslessDefaults.model },
    heads: { type: "string" },
    text: { type: "string" },
    steps: { type: "string", default: String(steps) },
    prompts: { type: "string", default: String(prompts) },
    tuning: { type: "string", default: String(tuning) },
    tokens: { type: "string", default: String(tokens) },
    only: { type: "string" },
  },
});
console.error(describeMachine(machine()));
const report = await losslessReport({
  out: values.out,
  model: values.model,
  heads: values.heads,
  text: values.text,
  steps: Number(values.steps),
  prompts: Number(values.prompts),
  tuning: Number(values.tuning),
  tokens: Number(values.tokens),
  only: values.only as LosslessPartName | undefined,
});
console.log(toMarkdown(report));
