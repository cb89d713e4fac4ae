/**
 * Audits simulated at full size: how often the alarm is false where the promise just holds, and after how many units it
 * rings where losses are three times the promise. Losses of 0 or 1, beta-distributed losses, and those of real
 * documents on another kind of text (bench/reports/shift.json), scaled.
 *   tsx lab/audits.ts [--runs 10000] [--out DIR]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Rng } from "early-exits/tensor";
import { machine } from "./report/machine.js";
import { percent } from "./report/format.js";
import { prose } from "./report/prose.js";
import { reportsFolder } from "./report/script.js";
import { writeReport } from "./report/report.js";
import { betaLoss, simulateAudits } from "./simulate/audits.js";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "10000" }, out: { type: "string", default: reportsFolder } },
});
const runs = Number(values.runs);
const delta = 0.05;
const where = machine();

interface ShiftReport {
  readonly data: { readonly pairs: readonly { from: string; to: string; level: number; losses: number[] }[] };
}
const shift = JSON.parse(await readFile(join(reportsFolder, "shift.json"), "utf8")) as ShiftReport;
const real = shift.data.pairs
  .filter(({ from, to, level }) => from === "speeches" && to !== from && level === 0.95)
  .flatMap(({ losses }) => losses);
const realMean = real.reduce((sum, loss) => sum + loss, 0) / real.length;

interface Losses {
  readonly name: string;
  readonly draw: (rng: Rng, mean: number) => number;
}
const kinds: readonly Losses[] = [
  { name: "0 or 1", draw: (rng, mean) => Number(rng.uniform() < mean) },
  { name: "beta, variation 1", draw: (rng, mean) => betaLoss(rng, mean, 1) },
  {
    name: "real documents, scaled",
    draw: (rng, mean) => Math.min(1, (real[rng.integer(real.length)]! * mean) / realMean),
  },
];

/** ln(1/delta) / KL(p, q): no test of these Bernoulli losses needs fewer units in the mean. */
function leastUnits(p: number, q: number): number {
  return Math.log(1 / delta) / (p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q)));
}

const permitted = delta + 3 * Math.sqrt((delta * (1 - delta)) / runs);
const rows = [0.01, 0.05, 0.1].flatMap((target) =>
  kinds.map(({ name, draw }) => {
    const about = { target, delta, seed: 1 };
    const { alarms } = simulateAudits((rng) => draw(rng, target), { ...about, runs, most: 1000 });
    const shifted = simulateAudits((rng) => draw(rng, 3 * target), { ...about, runs: runs / 10, most: 5000 });
    console.error(`${name} at ${target}: false ${alarms / runs}, rings after ${shifted.median}`);
    return {
      target,
      name,
      falseAlarms: alarms / runs,
      median: shifted.median,
      bound: name === "0 or 1" ? leastUnits(3 * target, target) : null,
    };
  }),
);
const broken = rows.filter(({ falseAlarms }) => falseAlarms > permitted);
await writeReport(values.out, {
  name: "audits",
  title: "Audits: false alarms, and how soon a true one rings",
  machine: where,
  data: { runs, delta, permitted, rows },
  tables: [
    {
      title: "Simulated audits",
      note: prose`
        False alarms: share of ${runs} runs of 1,000 units whose mean loss is exactly the promise (at most delta =
        ${delta} is promised; ${permitted.toFixed(4)} with three standard errors). Units until the alarm: median of
        ${runs / 10} runs with losses of three times the promise. For losses of 0 or 1, ln(1/delta) / KL
        stands beside it.`,
      columns: ["promised agreement", "losses", "false alarms", "units until the alarm", "ln(1/delta) / KL"],
      rows: rows.map(({ target, name, falseAlarms, median, bound }) => [
        percent(1 - target, 0),
        name,
        percent(falseAlarms, 2),
        median,
        bound?.toFixed(0) ?? "",
      ]),
    },
  ],
});
console.log(join(values.out, "audits.md"));
if (broken.length > 0) throw new Error(`lab: false alarms above ${permitted} in ${broken.length} cells`);
