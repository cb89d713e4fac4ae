/**
 * The size of the house. Every room has a ceiling of code tokens, as TypeScript's scanner counts them: comments and
 * formatting count nothing, so nobody saves by writing densely. Ceilings only go down: one that a room has left far
 * below fails too, and is lowered. To see the table: npx vitest run test/house/budget.test.ts
 */
import ts from "typescript";
import { expect, it, test } from "vitest";
import { readSource, repositoryFiles } from "./source-files.js";

/** Code tokens, by room. They exclude what is generated, and the texts and reports of models and docs. */
const CEILINGS: Readonly<Record<string, number>> = {
  "src (root)": 1_850 + 300, // + 300: options that a function does not have (known.ts)
  // + 130: what packed matrices take, said before they are made; + 140: a device by its name, for whoever reads a model
  "src/tensor": 119_500 + 130 + 140,
  // + 2,300: risk control on plain arrays, Holm, permutation tests; 3,850 came from src/calibrate
  "src/risk": 3_850 + 2_300,
  // + 2,490: what a sceptic broke (the seal; words encoded in turns); + 760: the end of 4 GiB said before it is met;
  // + 950: the logit lens, text for pages (from node); + 300: rotary tables with the same bits on every engine; + 100:
  // known options of pretrain and splitDocuments
  "src/model": 61_150 + 2_490 + 760 + 950 + 300 + 100,
  "src/exits": 45_850 + 390 + 30, // + 390 and + 30: text() of a generation, certificates as policies, known options
  "src/calibrate": 48_200 + 240, // + 240: one reader of policies for every host, known options
  "src/evaluate": 10_050 + 30, // + 30: known options
  "src/node": 10_650 + 420, // + 420: models refused before they are downloaded
  "src/browser": 2_700 + 260, // + 260: text, JSON and policies by level in a page
  // + 50: what a model takes, from its header; + 310 and + 80: exits of the package in plan, eval, calibrate
  "apps/cli": 44_400 + 50 + 310 + 80,
  "apps/export": 10_600,
  "apps/serve": 13_300 + 30, // + 30: requests that name no sampling get the certificate's
  // + 2,750: what a sceptic broke (everyday certificates judged, the price of audits); + 1,050: the price of rows;
  // + 140: one row beside a loop that only reads
  bench: 28_250 + 2_750 + 1_050 + 140,
  drivers: 1_600,
  // + 4,800: the whole idea in one file; + 930: the same bits, checked on any engine
  examples: 3_500 + 4_800 + 930,
  // + 2,350: what a sceptic broke (populations with copies, everyday answers, non-words); 950 came from src (drift);
  // 150: the promise of examples/micro-exits.ts
  lab: 106_800 + 2_350 + 950 + 150,
  // + 400: what a sceptic broke; + 220: a model is read as its certificates say; + 1,500: a page that teaches (the map
  // of blocks and tokens, thresholds by hand, guesses, the plain text beside)
  playground: 24_000 + 400 + 220 + 1_500,
  scripts: 9_150,
  site: 6_750 + 400, // + 400: a program beside its explanation
  test: 309_500 + 400, // + 400: the tests and laws of src/risk, a package of its own
};
/** Public names of all entries of the package together, types included, and the values among them. */
// + 4 and + 2: risk control, Holm, permutation tests; + 1: memoryNeeds; + 1: the logit lens
const PUBLIC_NAMES = { all: 302 + 4 + 1 + 1, values: 169 + 2 + 1 };
/** The share of its ceiling by which a room may be smaller. */
const SLACK = 0.02;

const scanner = ts.createScanner(ts.ScriptTarget.Latest, true);

/** Code tokens of a TypeScript or JavaScript text, comments left out: leaves of its tree and what stands between. */
function tokensOf(path: string) {
  const tree = ts.createSourceFile(path, readSource(path), ts.ScriptTarget.Latest);
  let tokens = 0;
  const count = (from: number, to: number) => {
    scanner.setText(tree.text, from, to - from);
    while (scanner.scan() !== ts.SyntaxKind.EndOfFileToken) tokens++;
  };
  const walk = (node: ts.Node) => {
    if (node.kind <= ts.SyntaxKind.LastToken) {
      if (node.getWidth(tree) > 0) tokens++;
      return;
    }
    let end = node.pos;
    ts.forEachChild(node, (child) => {
      count(end, child.pos);
      walk(child);
      end = child.end;
    });
    count(end, node.end);
  };
  walk(tree);
  return tokens;
}

/** "src/tensor" of src/tensor/ops/rope.ts, "src (root)" of src/errors.ts, "lab" of lab/laws/run.ts. */
function roomOf(path: string) {
  const [top, second, third] = path.split("/") as [string, string, string?];
  if (top !== "src" && top !== "apps") return top;
  return third === undefined ? `${top} (root)` : `${top}/${second}`;
}

const rooms = new Map<string, number>();
for (const path of repositoryFiles("*/*.ts", "*/*.mjs", "*/*.js", "*/*.mts")) {
  if (/^(models|docs)\//.test(path) || path.endsWith(".generated.ts")) continue;
  rooms.set(roomOf(path), (rooms.get(roomOf(path)) ?? 0) + tokensOf(path));
}

it("every room has a ceiling", () => {
  console.info(
    [...rooms]
      .sort()
      .map(([room, tokens]) => `${room.padEnd(16)}${String(tokens).padStart(8)}`)
      .join("\n"),
  );
  expect([...rooms.keys()].sort()).toEqual(Object.keys(CEILINGS).sort());
});

test.for([...rooms])("%s keeps its budget: %i code tokens", ([room, tokens]) => {
  const ceiling = CEILINGS[room]!;
  expect(tokens, `${room}: take something away, or show that it pays`).toBeLessThanOrEqual(ceiling);
  expect(tokens, `${room}: lower its ceiling to ${tokens}`).toBeGreaterThanOrEqual((1 - SLACK) * ceiling - 50);
});

test("the package's names keep their budget", () => {
  const lists = repositoryFiles("test/house/exports/*.txt").map((path) => readSource(path).trim().split("\n"));
  const names = new Set(lists.flat());
  const values = [...names].filter((name) => !name.startsWith("type "));
  const found = { all: names.size, values: values.length };
  expect(found.all).toBeLessThanOrEqual(PUBLIC_NAMES.all);
  expect(found.values).toBeLessThanOrEqual(PUBLIC_NAMES.values);
});
