/**
 * Lossless decoding: ways of it side by side on real text (lossless-ways.ts), its drafts replayed on a large model
 * (lossless-replay.ts), and a simulation of that against the formula (lossless-simulation.ts). Writes
 * bench/reports/lossless.md. Alone: `npx tsx bench/lossless.ts [--model FOLDER] [--heads FOLDER] [--text FILE]
 * [--prompts 60] [--tuning 150] [--tokens 64] [--only ways|replay|simulation]`.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compareLosslessWays, replayDrafts, simulateOracle, type WaysOptions } from "../lab/lossless/index.js";
import { describeMachine, machine, type Report, type Table, toMarkdown, writeReport } from "../lab/report/index.js";

type Part = "ways" | "replay" | "simulation";

export interface LosslessBenchOptions extends WaysOptions {
  readonly out: string;
  readonly only?: Part | undefined;
}

export const losslessDefaults: LosslessBenchOptions = {
  out: fileURLToPath(new URL("reports", import.meta.url)),
  model: fileURLToPath(new URL("../models/sotu-12", import.meta.url)),
  steps: 300,
  prompts: 60,
  tuning: 150,
  tokens: 64,
};

export async function losslessReport(options: LosslessBenchOptions): Promise<Report> {
  const where = machine();
  const makers: Readonly<Record<Part, () => Promise<{ readonly tables: readonly Table[]; readonly data: unknown }>>> = {
    ways: () => compareLosslessWays(options),
    replay: () => replayDrafts(options),
    simulation: simulateOracle,
  };
  const parts = [];
  for (const [part, make] of Object.entries(makers)) {
    if (options.only === undefined || options.only === part) parts.push(await make());
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      out: text,
      model: text,
      heads: text,
      text,
      steps: text,
      prompts: text,
      tuning: text,
      tokens: text,
      only: text,
    },
  });
  const number = (name: "steps" | "prompts" | "tuning" | "tokens"): number =>
    Number(values[name] ?? losslessDefaults[name]);
  console.error(describeMachine(machine()));
  console.log(
    toMarkdown(
      await losslessReport({
        out: values.out ?? losslessDefaults.out,
        model: values.model ?? losslessDefaults.model,
        heads: values.heads,
        text: values.text,
        steps: number("steps"),
        prompts: number("prompts"),
        tuning: number("tuning"),
        tokens: number("tokens"),
        only: values.only as LosslessBenchOptions["only"],
      }),
    ),
  );
}
