/** The figures of the README come from reports in the repository: they are the cells named here. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const read = (path: string) => readFileSync(path, "utf8");

/** A cell of the first table of a report that has such a column and row. */
function cell(report: string, row: string, column: string) {
  const rows = read(`bench/reports/${report}.md`)
    .split("\n")
    .map((line) => line.split("|").map((text) => text.trim()));
  const header = rows.findIndex((cells) => cells.includes(column));
  const found = rows.slice(header).find((cells) => cells[1] === row);
  const text = found?.[rows[header]!.indexOf(column)];
  expect(text, `${report}: ${row}, ${column}`).toBeDefined();
  return text!.split(" (")[0]!;
}

const readme = read("README.md");
const demo = (way: string, pattern: string) =>
  new RegExp(`^  ${way} +\\d+ +(\\S+) .*? (${pattern})$`, "m").exec(read("docs/13-speed.md"))!.slice(1).join(" ");

const smollm = (level: string, column = "ratio") => cell("everyday", `everyday ${level} %, lazy`, column);
const gemma = (way: string, column = "ratio") => cell("large-vocabulary-zen-5", way, column);
const drafted = (dtype: string) =>
  new RegExp(`^\\| the full model's \\| ${dtype} .*? (\\d\\.\\d\\d) \\(`, "m").exec(
    read("bench/reports/ahead-zen-5.md"),
  )![1];
const [ratio, kept] = demo("exits", "\\S+ %").split(/ (.*)/);

it.each([
  ["SmolLM2", smollm("95"), smollm("95", "agreement"), `certified for 99 %: ${smollm("99")}`],
  ["the embedded model, certified", ratio, kept, `lossless: ${demo("lossless", "identical").split(" ")[0]!}`],
  ["Gemma", gemma("policy of 99 %"), gemma("policy of 99 %", "agreement"), `lossless: ${gemma("lossless")}`],
  ["SmolLM2-135M, float32, lossless", drafted("float32"), "identical", `in int8: ${drafted("int8")}`],
])("the row of %s", (beginning, ...cells) => {
  const line = readme.split("\n").find((one) => one.startsWith(`| ${beginning}`))!;
  const found = line.split("|").map((text) => text.trim().replaceAll("*", ""));
  expect(found.slice(2, -1)).toEqual(cells);
});

it("beside llama.cpp", () => {
  const beside = (column: string) => cell("llm-zen-4", "int8 / q8_0, 1 t", column);
  expect(readme).toContain(`reaches ${beside("decode")} times llama.cpp's speed`);
  expect(readme).toContain(`(reading prompts, ${beside("prefill 128")})`);
});

it("the first minutes: what calibrate claims, and how long all of it takes", () => {
  const { data } = JSON.parse(read("bench/reports/first-minutes.json")) as {
    readonly data: { readonly seconds: number; readonly claims: readonly string[] };
  };
  expect(read("docs/11-your-model.md")).toContain(`\n${data.claims.join("\n")}\n`);
  const faster = /certified, (\S+)x/.exec(data.claims.at(-1)!)![1]!;
  const minutes = Math.round(data.seconds / 60);
  expect(readme).toContain(`takes ${minutes} minutes and then decodes ${faster} times as fast`);
});
