/**
 * The laws of calibration (test/laws/validity.test.ts) and of answers (test/laws/answers.test.ts) with many more runs,
 * and their report, bench/reports/laws.md; part of `npm run laws`.
 *   tsx lab/laws.ts [--scale 100] [--out bench/reports]
 * Scale 100 means 2,000 calibrations per cell, about half an hour on one idle core. Exits with vitest's status; the
 * report includes laws that fail.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "./report/machine.js";
import { type Table, writeReport } from "./report/report.js";
import type { Finding } from "../test/support/finding.js";
import { root, runLaw } from "./laws/run-law.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "100" },
    out: { type: "string", default: join(root, "bench", "reports") },
  },
});
const laws = ["validity", "answers"].map((name) => runLaw(`test/laws/${name}.test.ts`, values.scale));
const findings = laws.flatMap((law) => law.findings as readonly Finding[]);

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const holds = ({ measured, limit, relation }: Finding): boolean =>
  relation === "at most" ? measured <= limit : measured >= limit;
const unique = <Value>(list: readonly Value[]): Value[] => [...new Set(list)];

/** One row per family and level, one column per procedure: violations at both values of δ. */
function violations(): Table {
  const cells = findings.filter(({ law, where }) => law === "violations" && where.includes(", a "));
  const names = unique(cells.map(({ procedure }) => procedure));
  const rates = (where: string, procedure: string): string =>
    cells
      .filter((cell) => cell.where === where && cell.procedure === procedure)
      .map(({ measured }) => percent(measured))
      .join(" / ") || "-";
  return {
    title: "Violations, by population family and level",
    columns: ["family, agreement", ...names],
    note:
      `The share of calibrations whose thresholds truly break the claim, at δ 0.05 / 0.1, over ` +
      `${cells[0]?.runs ?? 0} calibrations per cell, each on a new population of the family. ` +
      `Permitted: ${percent(cells[0]?.limit ?? NaN)} / ${percent(cells[1]?.limit ?? NaN)} (δ + 3 standard errors). ` +
      `"-": not defined (any change where tokens change in part).`,
    rows: unique(cells.map(({ where }) => where)).map((where) => [where, ...names.map((name) => rates(where, name))]),
  };
}

/** Mean coverage, because "never exit" would pass every law on violations. */
function coverage(): Table {
  const cells = findings.filter(
    (finding) => finding.law === "violations" && finding.coverage !== undefined && finding.delta === 0.05,
  );
  const names = unique(cells.map(({ procedure }) => procedure));
  const of = (where: string, procedure: string): string => {
    const cell = cells.find((one) => one.where === where && one.procedure === procedure);
    return cell?.coverage === undefined ? "-" : `${(100 * cell.coverage).toFixed(0)} %`;
  };
  return {
    title: "Coverage, δ 0.05",
    note: "The share of tokens that leave early, mean over the same calibrations.",
    columns: ["family, agreement", ...names],
    rows: unique(cells.map(({ where }) => where)).map((where) => [where, ...names.map((name) => of(where, name))]),
  };
}

/** A table with one row per finding. */
function others(title: string, note: string, chosen: readonly Finding[]): Table {
  return {
    title,
    note,
    columns: ["procedure", "where", "δ", "runs", "measured", "limit", "holds"],
    rows: chosen.map((finding) => [
      finding.procedure,
      finding.where,
      finding.delta,
      finding.runs.toLocaleString("en"),
      percent(finding.measured),
      `${finding.relation} ${percent(finding.limit)}`,
      holds(finding) ? "yes" : "NO",
    ]),
  };
}

await writeReport(values.out, {
  name: "laws",
  title:
    `The laws of calibration at scale ${values.scale}: ` +
    `${findings.filter(holds).length} of ${findings.length} hold`,
  machine: machine(),
  data: findings,
  tables: [
    violations(),
    coverage(),
    others(
      "Pooled, and on single populations",
      "All cells of the first table together, and the counterexamples to the published rule, curve and cascade.",
      findings.filter(
        ({ law, where }) => law === "violations, pooled" || (law === "violations" && !where.includes(", a ")),
      ),
    ),
    others(
      "On the border",
      "One candidate whose true risk is just above ε: a bound may accept it in at most δ of the runs.",
      findings.filter(({ law }) => law === "on the border"),
    ),
    others(
      "What must fail does fail",
      "The published rule, an off-by-one sequence, tokens as units, documents that drift, choices not paid for.",
      findings.filter(({ law }) => law === "must fail"),
    ),
    others(
      "Power",
      "Certified coverage divided by that of the best threshold, which is known here.",
      findings.filter(({ law }) => law.startsWith("power")),
    ),
  ],
});
process.exitCode = Math.max(...laws.map(({ status }) => status));
