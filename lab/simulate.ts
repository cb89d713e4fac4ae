/**
 * Share of claims that each calibration procedure breaks, and the coverage that it gains, on populations whose truth is
 * known (lab/simulate/):
 *   tsx lab/simulate.ts [--runs 2000] [--agreement 0.9] [--delta 0.1] [--documents 500] [--seed 1]
 *                       [--out bench/reports]
 * Prints a Markdown table, and writes the table, its data and a chart to OUT as simulate.md, .json and .svg. Progress
 * goes to stderr.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createRng } from "early-exits/tensor";
import { describeMachine, machine } from "./report/machine.js";
import { dotChart } from "./report/charts.js";
import { cascadePopulation, clusteredPopulation, curvePopulation, populationFamilies } from "./simulate/populations.js";
import { oracleCoverage, simulate } from "./simulate/simulate.js";
import type { Population } from "./simulate/population.js";
import { type ProcedureName, procedures, type ProcedureSpec } from "./simulate/procedures.js";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "2000" },
    agreement: { type: "string", default: "0.9" },
    delta: { type: "string", default: "0.1" },
    documents: { type: "string", default: "500" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: fileURLToPath(new URL("../bench/reports", import.meta.url)) },
  },
});
const runs = Number(values.runs);
const agreement = Number(values.agreement);
const delta = Number(values.delta);
const documents = Number(values.documents);
const seed = Number(values.seed);
const epsilon = 1 - agreement;
const where = machine();

/** The first draw of a family in which the level is neither trivial nor out of reach, judged by the oracle. */
function family(name: keyof typeof populationFamilies): Population {
  for (let draw = 0; ; draw++) {
    const population = populationFamilies[name](createRng(seed).fork(`${name} ${draw}`));
    const coverage = oracleCoverage(population, "share", { epsilon, tokens: 20_000 });
    if ((coverage > 0.3 && coverage < 0.9) || draw === 50) return population;
  }
}

interface Case {
  readonly title: string;
  readonly population: Population;
  /** Documents per calibration. @default documents */
  readonly size?: number;
}

const cases: readonly Case[] = [
  { title: "curve: one exit, risk grows with coverage", population: curvePopulation() },
  { title: "cascade: the second exit gets the hard half", population: cascadePopulation() },
  {
    title: "clustered: one document in twelve is bad throughout",
    population: clusteredPopulation(),
    size: Math.ceil(documents / 2), // its documents are long
  },
  { title: "ties: few distinct scores", population: family("ties") },
  { title: "non-monotone: the most confident tokens are the worst", population: family("nonMonotone") },
  { title: "useless head: the first exit is uninformative", population: family("uselessHead") },
  { title: "rare class: few tokens, confident and wrong", population: family("rareClass") },
  { title: "sampled: the loss is the total variation", population: family("sampled") },
  { title: "drift: documents get harder (no procedure promises anything)", population: family("drift") },
];

const names = Object.keys(procedures) as ProcedureName[];
const started = performance.now();
const rows = cases.flatMap(({ title, population, size = documents }) => {
  const oracle = {
    share: oracleCoverage(population, "share", { epsilon }),
    anyChange: oracleCoverage(population, "anyChange", { epsilon }),
    perExit: oracleCoverage(population, "perExit", { epsilon }),
  };
  const options = { runs, documents: size, epsilon, deltas: [delta], seed, procedures: names };
  const simulated = simulate(() => population, options);
  console.error(`${((performance.now() - started) / 1000).toFixed(0)} s  ${title}`);
  return simulated
    .map((row) => {
      const { title: procedure, claim, promise }: ProcedureSpec = procedures[row.procedure];
      return {
        population: title,
        documents: size,
        title: procedure,
        claim,
        promise: promised(promise, row.procedure, title),
        ...row,
        violationRate: row.violations / row.runs,
        oracleCoverage: oracle[claim],
        verdict: "",
      };
    })
    .map((row) => ({ ...row, verdict: verdict(row) }));
});

/**
 * Promise of a procedure on a population. Every promise assumes that there is no drift; any change is not defined
 * where tokens change in part.
 */
function promised(
  promise: ProcedureSpec["promise"],
  procedure: ProcedureName,
  population: string,
): ProcedureSpec["promise"] {
  const assumptionFails =
    population.startsWith("drift") || (population.startsWith("sampled") && procedure === "anyChange");
  return assumptionFails ? "none" : promise;
}

/** The violation rate that a promise permits over n runs: delta plus three standard errors. */
function limit(n: number): number {
  return delta + 3 * Math.sqrt((delta * (1 - delta)) / n);
}

interface Judged {
  readonly promise: ProcedureSpec["promise"];
  readonly violationRate: number;
  readonly runs: number;
}

function verdict(row: Judged): string {
  const kept = row.violationRate <= limit(row.runs);
  if (row.promise === "none") return kept ? "no promise" : "no promise; misses";
  return kept ? "kept" : "BROKEN";
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const tables = cases.flatMap(({ title, size = documents }) => [
  "",
  `### ${title}`,
  "",
  `${size} documents per calibration.`,
  "",
  "| procedure | breaks its claim | mean risk | coverage | oracle's coverage | never exits | promise |",
  "|---|---|---|---|---|---|---|",
  ...rows
    .filter((row) => row.population === title)
    .map(
      (row) =>
        `| ${row.title} | ${percent(row.violationRate)} | ${row.risk.toFixed(4)} | ${percent(row.coverage)} ` +
        `| ${percent(row.oracleCoverage)} | ${percent(row.never / row.runs)} | ${row.verdict} |`,
    ),
]);
const markdown = [
  `# Calibration procedures on populations with known truth`,
  "",
  describeMachine(where),
  "",
  `${runs} calibrations each, agreement ${agreement} (epsilon ${epsilon.toFixed(2)}), delta ${delta}, seed ${seed}. ` +
    `A claim that is promised with probability 1 - delta may break in ${percent(delta)} of calibrations, or up to ` +
    `${percent(limit(runs))} including three standard errors. Risk: the mean share of changed tokens per document, ` +
    "the share of documents with any change, or, for the published rule, the worst exit's share of wrong tokens. " +
    "Coverage: the share of tokens that leave early. Oracle: the best thresholds found on 100,000 tokens with the " +
    "truth known.",
  ...tables,
  "",
].join("\n");
console.log(markdown);
const chart = dotChart(
  rows.map((row) => ({ label: row.title, value: 100 * row.violationRate, group: row.population.split(":")[0]! })),
  {
    title:
      `How often a calibration breaks its claim: agreement ${agreement}, delta ${delta} (dashed), ${runs} ` +
      "calibrations per dot",
    unit: "calibrations that break it, %",
    limit: 100 * delta,
  },
);
mkdirSync(values.out, { recursive: true });
writeFileSync(
  join(values.out, "simulate.md"),
  `${markdown}\n![Violations by procedure and population](simulate.svg)\n`,
);
const report = { format: "early-exits/simulation", version: 1, machine: where, runs, agreement, delta, seed, rows };
writeFileSync(join(values.out, "simulate.json"), `${JSON.stringify(report, null, 1)}\n`);
writeFileSync(join(values.out, "simulate.svg"), `${chart}\n`);
