/**
 * How often each calibration procedure breaks its promise, and the coverage it buys, on populations whose truth is
 * known:
 *   tsx lab/simulate.ts [--runs 2000] [--agreement 0.9] [--delta 0.1] [--documents 500] [--seed 1] [--out bench/reports]
 * A Markdown table goes to stdout; the table, its data and a chart go to OUT as simulate.md, .json and .svg. Time goes
 * to stderr.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createRng } from "early-exits/tensor";
import { describeMachine, dotChart, machine } from "./report/index.js";
import {
  cascadePopulation,
  clusteredPopulation,
  curvePopulation,
  oracleCoverage,
  type Population,
  populationFamilies,
  type ProcedureName,
  procedures,
  type ProcedureSpec,
  simulate,
} from "./simulate/index.js";

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
const [runs, agreement, delta, documents, seed] = [
  values.runs,
  values.agreement,
  values.delta,
  values.documents,
  values.seed,
].map(Number) as [number, number, number, number, number];
const epsilon = 1 - agreement;
const where = machine();

/**
 * The first draw of a family for which the level leaves something to choose: neither all tokens may leave nor hardly
 * any.
 */
function family(name: keyof typeof populationFamilies): Population {
  for (let draw = 0; ; draw++) {
    const population = populationFamilies[name](createRng(seed).fork(`${name} ${draw}`));
    const coverage = oracleCoverage(population, "overall", { epsilon, tokens: 20_000 });
    if ((coverage > 0.3 && coverage < 0.9) || draw === 50) return population;
  }
}

/** One of each kind; long documents are fewer. */
const populations: readonly (readonly [string, Population, number])[] = [
  ["curve: one exit, risk grows with coverage", curvePopulation(), documents],
  ["cascade: the second exit gets the hard half", cascadePopulation(), documents],
  ["clustered: one document in twelve is bad throughout", clusteredPopulation(), Math.ceil(documents / 2)],
  ["ties: few distinct scores", family("ties"), documents],
  ["non-monotone: the surest tokens are the worst", family("nonMonotone"), documents],
  ["useless head: the first exit knows nothing", family("uselessHead"), documents],
  ["rare class: seldom, sure and wrong", family("rareClass"), documents],
  ["drift: documents get harder (no procedure promises anything)", family("drift"), documents],
];

const names = Object.keys(procedures) as ProcedureName[];
const started = performance.now();
const rows = populations.flatMap(([title, population, size]) => {
  const oracle = {
    overall: oracleCoverage(population, "overall", { epsilon }),
    selective: oracleCoverage(population, "selective", { epsilon }),
  };
  const simulated = simulate(() => population, {
    runs,
    documents: size,
    epsilon,
    deltas: [delta],
    seed,
    procedures: names,
  });
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
 * What a procedure promises on a population; tokens as units suppose independent tokens, and every promise supposes no
 * drift.
 */
function promised(
  promise: ProcedureSpec["promise"],
  procedure: ProcedureName,
  population: string,
): ProcedureSpec["promise"] {
  const broken =
    population.startsWith("drift") || (population.startsWith("clustered") && procedure === "selectiveTokens");
  return broken ? "none" : promise;
}

function verdict(row: {
  readonly promise: ProcedureSpec["promise"];
  readonly violationRate: number;
  readonly risk: number;
  readonly riskDeviation: number;
  readonly runs: number;
}): string {
  const limit = delta + 3 * Math.sqrt((delta * (1 - delta)) / row.runs);
  switch (row.promise) {
    case "probability":
      return row.violationRate <= limit ? "kept" : "BROKEN";
    case "expectation":
      return row.risk <= epsilon + (3 * row.riskDeviation) / Math.sqrt(row.runs) ? "kept (mean)" : "BROKEN (mean)";
    case "none":
      return row.violationRate <= limit ? "no promise" : "no promise; misses";
  }
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const table = populations.flatMap(([title, , size]) => [
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
  `${runs} calibrations each, agreement ${agreement} (epsilon ${epsilon.toFixed(2)}), delta ${delta}, ` +
    `seed ${seed}. A promise with probability 1-delta may break in ${percent(delta)} of calibrations, up ` +
    `to ${percent(delta + 3 * Math.sqrt((delta * (1 - delta)) / runs))} with three standard errors. Risk: mean ` +
    "share of changed tokens per document (overall), or the worst exit's share of wrong tokens (selective). " +
    "Coverage: share of tokens that leave early. Oracle: the best thresholds found on 100,000 tokens with the " +
    "truth known.",
  ...table,
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
writeFileSync(
  join(values.out, "simulate.json"),
  `${JSON.stringify({ format: "early-exits/simulation", version: 1, machine: where, runs, agreement, delta, seed, rows }, null, 1)}\n`,
);
writeFileSync(join(values.out, "simulate.svg"), `${chart}\n`);
