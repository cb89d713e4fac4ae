/** Keeps lines short, and merges whole. */
import { expect, it } from "vitest";
import { readSource, repositoryFiles } from "./source-files.js";

const COLUMNS = 120;

const sources = repositoryFiles("*.ts", "*.mjs", "*.js");

it("no line of code is longer than 120 columns", () => {
  const long = sources.flatMap((path) =>
    readSource(path)
      .split("\n")
      .flatMap((line, i) => (line.length > COLUMNS ? [`${path}:${i + 1}`] : [])),
  );
  expect(long).toEqual([]);
});

it("no merge was left half done, not even in a comment", () => {
  const texts = [...sources, ...repositoryFiles("*.md", "*.yml", ".ci/*")];
  const marked = texts.filter((path) => /^(?:<{7}|>{7}|\|{7})(?: |$)/m.test(readSource(path)));
  expect(marked).toEqual([]);
});
