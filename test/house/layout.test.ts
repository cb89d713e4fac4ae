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

it("an index.ts stands only where a subpath of the package begins", () => {
  const doors = repositoryFiles("src/*index*.ts", "apps/*index*.ts", "lab/*index*.ts").filter((path) =>
    /\/index(\.as)?\.ts$/.test(path),
  );
  expect(doors.filter((path) => !/^(src|apps\/\w+|src\/\w+)\/index\.ts$/.test(path))).toEqual([]);
});
