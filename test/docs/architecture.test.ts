/** The walks of docs/architecture.md: every step is in a file of its own, and what it names is there. */
import { readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

const page = readFileSync("docs/architecture.md", "utf8");
const walks = page
  .split(/^## /m)
  .filter((section) => section.startsWith("The path of"))
  .map((section) => ({
    title: section.split("\n")[0]!,
    steps: Array.from(section.matchAll(/^\d+\. .*$/gm), ([step]) => step),
  }));

it("there are two", () => {
  expect(walks.map(({ title }) => title)).toEqual(["The path of a token id", "The path of a score"]);
});

describe.each(walks)("$title", ({ steps }) => {
  const linked = steps.map((step) => ({
    step,
    path: normalize(join("docs", /\]\((\.\.\/src\/[^)]+\.ts)\)/.exec(step)![1]!)),
  }));

  it("visits every file at most once", () => {
    expect(linked.length).toBeGreaterThan(10);
    expect(new Set(linked.map(({ path }) => path)).size).toBe(linked.length);
  });

  it.each(linked)("$path has the functions that its step names", ({ step, path }) => {
    const source = readFileSync(path, "utf8");
    const names = Array.from(step.replace(/\[[^\]]*\]\([^)]*\)/g, "").matchAll(/`([A-Za-z.]+)`/g), ([, name]) => name!);
    for (const name of names.filter((word) => !word.endsWith(".ts"))) {
      expect(source).toContain(name.split(".").at(-1)!);
    }
  });
});
