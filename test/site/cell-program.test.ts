/** Cells of the tour as modules. */
import { expect, it } from "vitest";
import { type CellGlobals, cellProgram, declaredNames } from "../../site/tour/cell-program.js";

it.each([
  ["const a = 1;\nlet b = 2, c;", ["a", "b"]],
  ["const { a, b: c, d = 4 } = x;\nconst [e, f] = y;", ["a", "c", "d", "e", "f"]],
  ["async function a() {}\nfunction* b() {}\nclass C {}", ["a", "b", "C"]],
  ['import { a, b as c } from "early-exits";\nimport * as d from "early-exits/model";', ["a", "c", "d"]],
  ["for (const a of b) {\n  const c = a;\n}", []],
])("%j declares %j", (code, names) => expect(declaredNames(code)).toEqual(names));

/** Runs cells one after another, as the worker does. */
async function runCells(...cells: readonly string[]) {
  const printed: string[] = [];
  const cell: CellGlobals = {
    load: (specifier) => Promise.resolve({ specifier, twice: (x: number) => 2 * x }),
    scope: {},
    console: { log: (...values: unknown[]) => void printed.push(values.join(" ")), table: () => undefined },
    show: ({ text }) => void printed.push(text),
    site: "http://site/",
  };
  Object.assign(globalThis, { cell });
  for (const [i, code] of cells.entries()) {
    const program = `${cellProgram(code, Object.keys(cell.scope))}// ${i}`;
    await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(program)}`);
  }
  return printed;
}

it("a cell sees what earlier cells declared and imported, and may declare it anew", async () =>
  expect(
    await runCells(
      'import { twice } from "x";\nconst a = twice(1);\nlet b = 5;\nconsole.log(a);',
      "console.log(a + b, twice(b));\nshow({ text: site }, 12);",
      "const a = 7;\nconsole.log(a, b);",
      "console.log(a);",
    ),
  ).toEqual(["2", "7 10", "http://site/", "7 5", "7"]));

it("a line keeps its number", async () => {
  const error = await runCells('import {\n  twice,\n} from "x";\n\nnull.x;').catch(
    (reason: unknown) => reason as Error,
  );
  expect((error as Error).stack).toMatch(/:5:6\)?$/m);
});
