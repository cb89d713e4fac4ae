/**
 * The effect of early exits on a model's speed and agreement: plain decoding, the certified policies of its folder, the
 * paper's thresholds at the same levels (no guarantee), and lossless decoding; greedy and sampled, on prompts from test
 * documents. Measured are the wall clock of interleaved runs, agreement on test documents that neither model, heads nor
 * calibration has seen, and the prediction of the ledger's counts at unit times measured in the same run.
 *   npm run bench:speedup [-- --model FOLDER [--heads FOLDER] [--text FILE]] [--runs 40] [--tokens 200] [--out FOLDER]
 * A folder that `npm run ship` wrote has heads/, certificates/ and documents.json. Any other folder needs a text of
 * many documents: heads are trained on most of it if there are none, policies are certified on a tenth, and judged on
 * the last tenth. The report is speedup, or speedup-NAME for another folder.
 */
import { parseArgs } from "node:util";
import { describeMachine, machine } from "../lab/report/machine.js";
import { speedupDefaults, speedupReport } from "../lab/speedup/speedup-report.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    heads: { type: "string" },
    text: { type: "string" },
    runs: { type: "string", default: String(speedupDefaults.runs) },
    tokens: { type: "string", default: String(speedupDefaults.tokens) },
    out: { type: "string" },
  },
});
console.error(describeMachine(machine()));
const { runs, tokens, ...rest } = values;
console.log(await speedupReport({ ...speedupDefaults, ...rest, runs: Number(runs), tokens: Number(tokens) }));
