/** The figures of the README's table come from reports in the repository: they are the cells named here. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

/** A cell of the first table of a report that has such a column and row. */
function cell(report: string, row: string, column: string): string {
  const rows = readFileSync(`bench/${report}.md`, "utf8")
    .split("\n")
    .map((line) => line.split("|").map((text) => text.trim()));
  const header = rows.findIndex((cells) => cells.includes(column));
  const found = rows.slice(header).find((cells) => cells[1] === row);
  const text = found?.[rows[header]!.indexOf(column)];
  expect(text, `${report}: ${row}, ${column}`).toBeDefined();
  return text!.split(" (")[0]!;
}

const readme = readFileSync("README.md", "utf8");
const lineOf = (beginning: string): string =>
  readme.split("\n").find((line) => line.startsWith(`| ${beginning}`)) ?? `no line begins with ${beginning}`;

const greedy = (row: string): string => cell("reports/speedup", row, "speedup, greedy");
const judged = (row: string): string => cell("reports/speedup", row, "agreement on test documents");
const smollm = (row: string, column: string): string => cell("reports/pretrained", row, column);

it("the embedded model's exits, and the published calibration", () => {
  const line = lineOf("Exits certified for 0.95 agreement");
  expect(line).toContain(`${greedy("certified 0.95")} times plain decoding, ${judged("certified 0.95")} agreement`);
  expect(line).toContain(`asked for 0.95: ${greedy("paper's rule, 0.95")} times, ${judged("paper's rule, 0.95")}`);
});

it("SmolLM2's exits, and lossless drafting", () => {
  const line = lineOf("Exits certified for 0.95, SmolLM2");
  const agreement = smollm("certified 95 %", "agreement");
  expect(line).toContain(`${smollm("certified 95 %", "ratio")} times plain int8, ${agreement} agreement`);
  expect(line).toContain(`Lossless drafting: ${smollm("lossless", "ratio")} times`);
  expect(line).toContain(`At 0.80: ${smollm("certified 80 %", "ratio")}`);
});

it("lossless decoding, and LayerSkip's fixed exit", () => {
  const line = lineOf("Lossless decoding");
  expect(line).toContain(`${greedy("lossless, tuned for time")} times plain decoding`);
  expect(line).toContain(`also tuned: ${greedy("LayerSkip's fixed exit, tuned")} times`);
});
