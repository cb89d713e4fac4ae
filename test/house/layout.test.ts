/** What keeps the repository readable: short lines, small files, folders with a door and a README. */
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { readSource, repositoryFiles } from "./source-files.js";

const COLUMNS = 120;
const LINES = 300;
const FILES = 15;
const README_LINES = 15;

const sources = repositoryFiles("*.ts", "*.mjs", "*.js");
const folders = new Set(sources.map((path) => dirname(path)));
const sourcesIn = (folder: string): string[] => sources.filter((path) => dirname(path) === folder);

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

it("a file of more than 300 lines says why in its header", () => {
  const unexplained = sources.filter((path) => {
    const source = readSource(path);
    const header = /^(?:#!.*\n)?\/\*\*[\s\S]*?\*\//.exec(source)?.[0] ?? "";
    return source.split("\n").length > LINES + 1 && !/\bLong because\b/.test(header);
  });
  expect(unexplained).toEqual([]);
});

it("no folder has more than 15 source files", () => {
  expect([...folders].filter((folder) => sourcesIn(folder).length > FILES)).toEqual([]);
});

describe.each([...folders].filter((folder) => /^(src|lab)\//.test(folder)))("%s", (folder) => {
  const files = repositoryFiles(`${folder}/*`);

  it("has a door", () => {
    const door = sourcesIn(folder).some((path) => path.endsWith(".as.ts")) ? /\/index(\.as)?\.ts$/ : /\/index\.ts$/;
    expect(files.filter((path) => dirname(path) === folder && door.test(path))).not.toEqual([]);
  });

  it("has a README of at most 15 lines", () => {
    expect(files).toContain(`${folder}/README.md`);
    expect(readSource(`${folder}/README.md`).trimEnd().split("\n").length).toBeLessThanOrEqual(README_LINES);
  });
});
