/**
 * A report of one run: JSON for machines, Markdown for people, and any charts as SVG. The JSON and the Markdown name
 * the machine.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeMachine, type Machine } from "./machine.js";

export interface Table {
  readonly title: string;
  /** Subject of the measurement and how to read it: one paragraph above the table. */
  readonly note: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface Report {
  readonly name: string;
  readonly title: string;
  readonly machine: Machine;
  readonly tables: readonly Table[];
  /** Everything measured, unrounded. */
  readonly data: unknown;
}

export function toMarkdown({ title, machine, tables }: Report): string {
  const cell = (value: string | number): string =>
    typeof value === "number" ? Number(value.toPrecision(3)).toString() : value;
  const sections = tables.map(({ title: heading, note, columns, rows }) =>
    [
      `## ${heading}`,
      "",
      note,
      "",
      `| ${columns.join(" | ")} |`,
      `| ${columns.map((_, i) => (i === 0 ? "---" : "---:")).join(" | ")} |`,
      ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
      "",
    ].join("\n"),
  );
  return [`# ${title}`, "", describeMachine(machine), "", ...sections].join("\n");
}

/** Writes NAME.json, NAME.md and the charts into a folder. */
export async function writeReport(
  folder: string,
  report: Report,
  charts: Readonly<Record<string, string>> = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${report.name}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
  await writeFile(join(folder, `${report.name}.md`), toMarkdown(report));
  for (const [name, svg] of Object.entries(charts)) await writeFile(join(folder, `${name}.svg`), `${svg}\n`);
}
