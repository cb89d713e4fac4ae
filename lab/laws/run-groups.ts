/**
 * The laws of grouped documents (test/laws/groups.test.ts) on many more calibrations, and their report,
 * bench/reports/laws-groups.md; part of `npm run laws`.
 *   tsx lab/laws/run-groups.ts [--scale 170] [--out bench/reports]
 * Scale 170 means 2,040 calibrations per cell. Exits with vitest's status; the report includes laws that fail.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "../report/machine.js";
import { percent } from "../report/format.js";
import { writeReport } from "../report/report.js";
import type { Finding } from "../../test/support/finding.js";
import { root, runLaw } from "./run-law.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "170" },
    out: { type: "string", default: join(root, "bench", "reports") },
  },
});
const where = machine();
const law = runLaw("test/laws/groups.test.ts", values.scale);
const findings = law.findings as readonly Finding[];
const holds = ({ measured, limit, relation }: Finding): boolean =>
  relation === "at most" ? measured <= limit : measured >= limit;

await writeReport(values.out, {
  name: "laws-groups",
  title:
    `The laws of grouped documents at scale ${values.scale}: ` +
    `${findings.filter(holds).length} of ${findings.length} hold`,
  machine: where,
  data: findings,
  tables: [
    {
      title: "Groups and documents as units",
      note:
        "Populations in which documents of a group resemble each other. Violations: the share of calibrations whose " +
        "thresholds truly break the claim; permitted are δ + 3 standard errors. With documents as units the same " +
        "draws must break it. Power: certified coverage divided by that of the best threshold.",
      columns: ["law", "procedure", "where", "δ", "runs", "measured", "limit", "coverage", "holds"],
      rows: findings.map((finding) => [
        finding.law,
        finding.procedure,
        finding.where,
        finding.delta,
        finding.runs.toLocaleString("en"),
        percent(finding.measured, 2),
        `${finding.relation} ${percent(finding.limit, 2)}`,
        finding.coverage === undefined ? "" : percent(finding.coverage, 0),
        holds(finding) ? "yes" : "NO",
      ]),
    },
  ],
});
process.exitCode = law.status;
