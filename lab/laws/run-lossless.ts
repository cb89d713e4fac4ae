/**
 * The laws of lossless decoding (test/laws/lossless.test.ts) on many more cases, and their report,
 * bench/reports/laws-lossless.md; part of `npm run laws`.
 *   tsx lab/laws/run-lossless.ts [--scale 10] [--out bench/reports]
 * Scale 10 means 20,000 random cases of the first law, and 5,000 of it with int4 weights. Exits with vitest's status;
 * the report includes broken laws.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "../report/machine.js";
import { writeReport } from "../report/report.js";
import type { CaseLaw } from "../../test/support/case-law.js";
import { root, runLaw } from "./run-law.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "10" },
    out: { type: "string", default: join(root, "bench", "reports") },
  },
});
const where = machine();
const { findings, status } = runLaw("test/laws/lossless.test.ts", values.scale);
const laws = findings as readonly CaseLaw[];
const asExpected = ({ broken, mustBreak }: CaseLaw): boolean => broken === mustBreak;

await writeReport(values.out, {
  name: "laws-lossless",
  title:
    `The laws of lossless decoding at scale ${values.scale}: ${laws.filter(asExpected).length} of ${laws.length} ` +
    "as expected",
  machine: where,
  data: laws,
  tables: [
    {
      title: "Random cases",
      note:
        "Each case: a tiny model of any family; heads that are logit lenses of any kind, or noise; a score; " +
        "thresholds from never to always for each of four exits; prompts from one token to the context limit; " +
        "rows of a verification that cost nothing, so that drafting never ends, to more than a token, so that it " +
        "never begins. Replicas of bugs in published code must be caught; they stop at the first case that catches " +
        "them.",
      columns: ["law", "cases", "found", "as expected", "cases held"],
      rows: laws.map((law) => [
        law.law,
        law.cases.toLocaleString("en"),
        law.broken ? `broken by case ${law.cases}` : "holds in all",
        asExpected(law) ? "yes" : "NO",
        law.seen,
      ]),
    },
  ],
});
process.exitCode = status;
