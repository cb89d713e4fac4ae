/** The report of lossless decoding: ways of it on real text, a replay on a large model, and a simulation. */
import { machine, type Report, reportsFolder, writeReport } from "../report/index.js";
import { modelFolder } from "../ship/index.js";
import { replayDrafts } from "./replay.js";
import { simulateOracle } from "./simulation.js";
import { compareLosslessWays, type LosslessPart, type WaysOptions } from "./ways.js";

export type LosslessPartName = "ways" | "replay" | "simulation";

export interface LosslessBenchOptions extends WaysOptions {
  readonly out: string;
  /** @default all parts */
  readonly only?: LosslessPartName | undefined;
}

export const losslessDefaults: LosslessBenchOptions = {
  out: reportsFolder,
  model: modelFolder("sotu-12"),
  steps: 300,
  prompts: 60,
  tuning: 150,
  tokens: 64,
};

export async function losslessReport(options: LosslessBenchOptions): Promise<Report> {
  const where = machine();
  const makers: Readonly<Record<LosslessPartName, () => Promise<LosslessPart>>> = {
    ways: () => compareLosslessWays(options),
    replay: () => replayDrafts(options),
    simulation: simulateOracle,
  };
  const parts: LosslessPart[] = [];
  for (const [name, make] of Object.entries(makers)) {
    if (options.only === undefined || options.only === name) parts.push(await make());
  }
  const report: Report = {
    name: "lossless",
    title: "Lossless decoding",
    machine: where,
    data: parts.map(({ data }) => data),
    tables: parts.flatMap(({ tables }) => tables),
  };
  await writeReport(options.out, report);
  return report;
}
