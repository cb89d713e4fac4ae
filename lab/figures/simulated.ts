/** From bench/reports/simulate.json: how often calibrations break their claim on populations whose truth is known. */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { readJson } from "early-exits/node";
import type { Machine } from "../report/machine.js";
import { reportsFolder } from "../report/script.js";
import { colors, frame } from "./frame.js";

interface Simulation {
  readonly machine: Machine;
  readonly runs: number;
  readonly agreement: number;
  readonly delta: number;
  readonly rows: readonly { readonly population: string; readonly procedure: string; readonly violationRate: number }[];
}

const PROCEDURES = [
  { procedure: "paper", label: "the published rule", color: colors.red },
  { procedure: "offByOne", label: "certified, but taking the first failure too", color: colors.gray },
  { procedure: "tokensAsUnits", label: "certified, but with tokens as units", color: colors.orange },
  { procedure: "overallWsr", label: "certified, documents as units (default)", color: colors.blue },
] as const;

export async function simulated(): Promise<string> {
  const { machine, runs, agreement, delta, rows } = (await readJson(
    join(reportsFolder, "simulate.json"),
  )) as Simulation;
  const dots = rows
    .filter(({ population }) => !population.startsWith("drift"))
    .flatMap(({ population, procedure, violationRate }) => {
      const shown = PROCEDURES.find((one) => one.procedure === procedure);
      return shown === undefined ? [] : [{ population, rate: 100 * violationRate, color: shown.color }];
    });
  return frame({
    title: "How often calibrations break their claim on populations whose truth is known",
    legend: PROCEDURES,
    machine,
    device: "no model is run",
    height: 280,
    run: `agreement ${agreement}, delta ${delta} (dashed), ${runs} calibrations per dot; bench/reports/simulate.json`,
    panels: [
      {
        plot: {
          marginLeft: 320,
          marginRight: 24,
          x: { label: "calibrations that break their claim, %", grid: true, domain: [0, 100] },
          y: { label: null, domain: [...new Set(dots.map(({ population }) => population))], tickSize: 0 },
          marks: [
            Plot.ruleX([100 * delta], { strokeDasharray: "4 3" }),
            Plot.dot(dots, { x: "rate", y: "population", fill: "color", r: 5, fillOpacity: 0.85 }),
          ],
        },
      },
    ],
  });
}
