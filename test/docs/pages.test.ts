/**
 * Every page: its programs run and print what the page shows (test/docs/programs has those that take long), its
 * commands exist (those with output are run), and its links lead to files, of a packed page to packed ones.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { agrees, blocksOf } from "../../scripts/pages/blocks.js";
import { checkCommand, commandsOf } from "../../scripts/pages/commands.js";
import { pages } from "../../scripts/pages/pages.js";
import { cli } from "../cli/support.js";
import { itsProgramRuns, longPrograms } from "./program.js";

const read = (path: string) => readFileSync(path, "utf8");

/** The package's files, and their folders. */
const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"]).toString()) as [
  { files: { path: string }[] },
];
const packed = new Set(files.flatMap(({ path }) => [path, dirname(path)]));

describe.each(pages)("%s", (path) => {
  const page = read(path);
  const blocks = blocksOf(page);

  if (blocks.some(({ language }) => language === "ts") && !longPrograms.includes(path)) itsProgramRuns(path);

  if (blocks.some(({ language }) => language === "sh")) {
    it("its commands exist, and print the output that the page shows", async () => {
      for (const { code, expected, line } of blocks.filter(({ language }) => language === "sh")) {
        for (const words of commandsOf(code)) {
          await checkCommand(words);
          if (expected === undefined) continue;
          expect(words.slice(0, 2), `${path}:${line}: only commands of early-exits are run here`).toEqual([
            "npx",
            "early-exits",
          ]);
          const { out, err } = await cli(words.slice(2));
          if (!agrees(expected, err + out)) expect(err + out, `${path}:${line}`).toBe(expected);
        }
      }
    });
  }

  it("has blocks of known languages only", () => {
    for (const { language } of blocks) expect(language).toMatch(/^(ts|js|sh|text|json|html|wgsl|diff)$/);
  });

  it("its links and images lead to files", () => {
    const targets = Array.from(
      page.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/\]\(([^)\s]+)\)/g),
      ([, target]) => target!.split("#")[0]!,
    ).filter((target) => target !== "" && !/^https?:/.test(target));
    const leads = (to: string) => existsSync(to) && (!packed.has(path) || packed.has(to.replace(/\/$/, "")));
    expect(targets.filter((target) => !leads(join(dirname(path), target)))).toEqual([]);
    const paths = page.matchAll(/`((?:src|test|bench|deploy|playground)\/[\w./-]+)`/g);
    for (const [, to] of /^docs\/\d/.test(path) ? paths : []) expect(to).toSatisfy(existsSync);
  });
});

describe("the pages together", () => {
  const numbered = pages.filter((path) => /^docs\/\d/.test(path));
  const figures = readdirSync("docs/figures").filter((name) => name.endsWith(".svg"));

  it("are all listed in the contents, in order", () =>
    expect(
      Array.from(read("docs/README.md").matchAll(/^\d+\. \[.*?\]\((.*?)\)/gm), ([, target]) => `docs/${target!}`),
    ).toEqual(numbered));

  it.each(numbered)("%s has a formula, a link to its code, a figure and an exercise", (path) => {
    for (const part of [/^ {4}\S.*[=<]/m, /`src\/[^`]+`/, /!\[[^\]]+\]\(.*\.svg\)/, /^## Exercise$/m]) {
      expect(read(path)).toMatch(part);
    }
  });

  it("are short: the README has 650 words at most, a page of docs/ 1,300, and docs/ 20,000", () => {
    const words = (path: string) => read(path).match(/\S*[\p{L}\p{N}]\S*/gu)!.length;
    const counts = pages.filter((path) => /^docs\/(?!experiments|glossary)/.test(path)).map(words);
    expect(words("README.md")).toBeLessThanOrEqual(650);
    expect(Math.max(...counts)).toBeLessThanOrEqual(1_300);
    expect(counts.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(20_000);
  });

  it("micro-exits.md has every part of its program, which has at most 400 lines, below the explanation", () => {
    const program = read("examples/micro-exits.ts").trimEnd();
    const lines = program.split("\n");
    const shown = Array.from(
      read("docs/micro-exits.md").matchAll(/^## (.*)$[^#]*#L(\d+)-L(\d+)\)$/gm),
      ([, title, from, to]) => [`// ---- ${title!} ----`, ...lines.slice(Number(from), Number(to))].join("\n"),
    );
    expect(shown).toEqual(program.split(/\n\n(?=\/\/ ---- )/).slice(1));
    expect(lines.length).toBeLessThanOrEqual(400);
  });

  it.each(figures)(
    "figures/%s is shown, has less than 60 kB, and says what it draws, or where it was measured",
    (name) => {
      const svg = read(`docs/figures/${name}`);
      expect(pages.some((path) => read(path).includes(`figures/${name})`))).toBe(true);
      expect(svg.length).toBeLessThan(60 * 1024);
      // Drawings contain no measurement, so they name no machine and no date.
      if (name.startsWith("drawing-")) {
        expect(svg).toMatch(/<title id="title">[^<]{20,}<\/title>\n<desc id="description">[^<]{100,}<\/desc>/);
      } else {
        const text = svg.replace(/(<[^>]+>|\s)+/g, " ");
        expect(text).toMatch(/\d cores, Node \d+\.\d+\.\d+, .*\d{4}-\d\d-\d\d\./);
      }
    },
  );
});

it.each([
  ["one\ntwo", "one\ntwo\n", true],
  ["one\n…\nfour", "one\ntwo\nthree\nfour\n", true],
  ["in … ms", "in 31.5 ms\n", true],
  ["in … ms", "in 31.5\nms\n", false],
  ["one", "one\ntwo\n", false],
  ["1.5", "1x5\n", false],
])("output agrees with a page %j and %j: %s", (expected, found, result) =>
  expect(agrees(expected, found)).toBe(result),
);

describe("a command that does not exist is detected", () => {
  it.each([
    "npm run nothing",
    "npm run page -- --nothing",
    "npx early-exits plan --nothing dir",
    "npx early-exits train dir",
    "npx early-exits nothing",
    "npx tsx scripts/nothing.ts",
    "npx tsx scripts/page.ts --nothing",
    "npx vitest run test/nothing.test.ts",
    "curl x",
  ])("%s", (line) => expect(checkCommand(commandsOf(line)[0]!)).rejects.toThrow(line.split(" ")[0]!));

  it("comments and && are not part of a command", () =>
    expect(commandsOf('npm ci && npm test # all\n# none\nnpx early-exits generate DIR --prompt "a b"')).toEqual([
      ["npm", "ci"],
      ["npm", "test"],
      ["npx", "early-exits", "generate", "DIR", "--prompt", "a b"],
    ]));
});
