/**
 * Lossless decoding: ways of it side by side on real text (lossless-ways.ts), and a simulation of a large model against the formula
 * (lossless-simulation.ts). Writes bench/reports/lossless.md.
 * Alone: `npx tsx bench/lossless.ts [--model FOLDER] [--heads FOLDER] [--text FILE] [--prompts 60] [--tuning 150] [--tokens 64] [--only ways|simulation]`.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { simulateOracle } from "./lossless-simulation.js";
import { compareLosslessWays, type WaysOptions } from "./lossless-ways.js";
import { describeMachine, machine } from "./measure.js";
import { type Report, toMarkdown, writeReport } from "./report.js";

export interface LosslessBenchOptions extends WaysOptions {
  readonly out: string;
  readonly only?: "ways" | "simulation" | undefined;
}

export const losslessDefaults: LosslessBenchOptions = {
  out: fileURLToPath(new URL("reports", import.meta.url)), model: fileURLToPath(new URL("../models/sotu-12", import.meta.url)), steps: 300, prompts: 60, tuning: 150, tokens: 64,
};

export async function losslessReport(options: LosslessBenchOptions): Promise<Report> {
  const where = machine();
  const parts = [...(options.only === "simulation" ? [] : [await compareLosslessWays(options)]), ...(options.only === "ways" ? [] : [await simulateOracle()])];
  const report: Report = { name: "lossless", title: "Lossless decoding", machine: where, data: parts.map(({ data }) => data), tables: parts.flatMap(({ tables }) => tables) };
  await writeReport(options.out, report);
  return report;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { out: text, model: text, heads: text, text, steps: text, prompts: text, tuning: text, tokens: text, only: text } });
  const number = (name: "steps" | "prompts" | "tuning" | "tokens"): number => Number(values[name] ?? losslessDefaults[name]);
  console.error(describeMachine(machine()));
  console.log(toMarkdown(await losslessReport({
    out: values.out ?? losslessDefaults.out, model: values.model ?? losslessDefaults.model, heads: values.heads, text: values.text,
    steps: number("steps"), prompts: number("prompts"), tuning: number("tuning"), tokens: number("tokens"), only: values.only as LosslessBenchOptions["only"],
  })));
}
