/**
 * The laws of lossless decoding (test/laws/lossless.test.ts) on many more cases, and their report,
 * bench/reports/laws-lossless.md:
 *   tsx lab/laws-lossless.ts [--scale 10] [--out bench/reports]
 * 20,000 random cases of the first law at scale 10. Exits with vitest's status; a law that is broken is in the report
 * too.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machine, writeReport } from "./report/index.js";
import type { CaseLaw } from "../test/support/case-law.js";
import { root, runLaw } from "./laws/index.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "10" },
    out: { type: "string", default: join(root, "bench", "reports") },
  },
});
const where = machine();
const { findings, status } = runLaw("test/laws/lossless.test.ts", values.scale);
const laws = findings as readonly CaseLaw[];
const asItMust = ({ broken, mustBreak }: CaseLaw): boolean => broken === mustBreak;

await writeReport(values.out, {
  name: "laws-lossless",
  title:
    `The laws of lossless decoding at scale ${values.scale}: ${laws.filter(asItMust).length} of ${laws.length} ` +
    "as they must",
  machine: where,
  data: laws,
  tables: [
    {
      title: "Random cases",
      note:
        "Each case: a tiny model of any family, heads that are logit lenses of any kind or noise, a score, " +
        "thresholds from never to always for each of four exits, prompts from one token to the context limit, a " +
        "draft length fixed, unlimited, adaptive, by expected gain or ended by probability, sometimes prompt " +
        "lookup besides. Replicas of bugs in published code must be caught; they stop at the first case that " +
        "does.",
      columns: ["law", "cases", "found", "as it must", "cases held"],
      rows: laws.map((law) => [
        law.law,
        law.cases.toLocaleString("en"),
        law.broken ? `broken by case ${law.cases}` : "holds in all",
        asItMust(law) ? "yes" : "NO",
        law.seen,
      ]),
    },
  ],
});
process.exitCode = status;
