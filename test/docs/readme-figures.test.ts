/** The figures of the README's table come from reports in the repository: they are the cells named here. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

/** A cell of the first table of a report that has such a column and row. */
function cell(report: string, row: string, column: string) {
  const rows = readFileSync(`bench/${report}.md`, "utf8")
    .split("\n")
    .map((line) => line.split("|").map((text) => text.trim()));
  const header = rows.findIndex((cells) => cells.includes(column));
  const found = rows.slice(header).find((cells) => cells[1] === row);
  const text = found?.[rows[header]!.indexOf(column)];
  expect(text, `${report}: ${row}, ${column}`).toBeDefined();
  return text!.split(" (")[0]!;
}

/** A README is read in five minutes. */
const WORDS = 1200;

const readme = readFileSync("README.md", "utf8");
const lineOf = (beginning: string) =>
  readme.split("\n").find((line) => line.startsWith(`| ${beginning}`)) ?? `no line begins with ${beginning}`;

const greedy = (row: string) => cell("reports/speedup", row, "speedup, greedy");
const judged = (row: string) => cell("reports/speedup", row, "agreement on test documents");
const smollm = (row: string, column: string) => cell("reports/pretrained", row, column);

it("the embedded model's exits, and the published calibration", () => {
  const line = lineOf("**Certified for 0.95**, the embedded model");
  expect(line).toContain(`**${greedy("certified 0.95")}**`);
  expect(line).toContain(`| ${judged("certified 0.95")} `);
  expect(line).toContain(`asked for 0.95: ${greedy("paper's rule, 0.95")}, ${judged("paper's rule, 0.95")}`);
});

it("SmolLM2's exits, and lossless drafting", () => {
  const line = lineOf("**Certified for 0.95**, SmolLM2");
  const [ratio, expected] = [smollm("certified 95 %", "ratio"), smollm("certified 95 %", "expected")];
  expect(line).toContain(`**${ratio}** (${expected} by counts)`);
  expect(line).toContain(`| ${smollm("certified 95 %", "agreement")} `);
  expect(line).toContain(`Lossless drafting: ${smollm("lossless, exits", "ratio")}.`);
  expect(line).toContain(`At 0.80: ${smollm("certified 80 %", "ratio")}`);
  expect(line).toContain(`Zen 5, earlier heads: ${cell("reports/pretrained-zen-5", "certified 95 %", "ratio")}`);
});

it("lossless decoding, greedy and sampled", () => {
  const line = lineOf("**Lossless**");
  expect(line).toContain(`**${greedy("lossless, drafting at 0.8")}**`);
  expect(line).toContain(`sampled: ${cell("reports/speedup", "lossless, drafting at 0.8", "speedup, sampled")}`);
});

it("the first minutes: what calibrate claims, and how long all of it takes", () => {
  const { data } = JSON.parse(readFileSync("bench/reports/first-minutes.json", "utf8")) as {
    readonly data: { readonly seconds: number; readonly claims: readonly string[] };
  };
  expect(readme).toContain(`\n${data.claims.join("\n")}\n`);
  expect(readme).toContain(`takes ${Math.round(data.seconds / 60)} minutes`);
});

interface StoredRow {
  readonly text: string;
  readonly dtype: string;
  readonly level?: number;
  readonly refused?: string;
  readonly agreement: number;
  readonly ratio?: readonly [number, number, number];
}

it("every way of storing the embedded model, the fastest first", () => {
  const { data } = JSON.parse(readFileSync("bench/reports/dtypes.json", "utf8")) as {
    readonly data: { readonly rows: readonly StoredRow[] };
  };
  const shown = ({ refused, ratio, agreement }: StoredRow) =>
    refused ?? `${ratio![1].toFixed(2)} (${(100 * agreement).toFixed(1)} %)`;
  const texts = [...new Set(data.rows.map(({ text }) => text))];
  const rows = texts.flatMap((text) =>
    [...new Set(data.rows.map(({ dtype }) => dtype))].map((dtype) => {
      const own = data.rows.filter((row) => row.text === text && row.dtype === dtype);
      const cells = [0.8, 0.9, 0.95, 0.99, undefined].map((level) => shown(own.find((row) => row.level === level)!));
      const fastest = Math.max(...own.map(({ ratio }) => ratio?.[1] ?? 0));
      return { fastest, cells: [text === "greedy" ? text : "sampled", dtype, ...cells] };
    }),
  );
  const found = readme
    .split("\n")
    .filter((line) => /^\| (greedy|sampled) /.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((text) => text.trim()),
    );
  expect(found).toEqual(rows.sort((a, b) => b.fastest - a.fastest).map(({ cells }) => cells));
});

it("says as few words as fit", () => expect(readme.match(/\S*[\p{L}\p{N}]\S*/gu)!.length).toBeLessThanOrEqual(WORDS));
