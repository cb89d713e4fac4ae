/**
 * The public surface, pinned: every name that each entry of the package exports, in test/house/exports/*.txt. Where a
 * change is meant, `npx vitest run test/house/exports.test.ts -u` writes the lists anew, and CHANGELOG.md says so.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";
import { readSource, root } from "./source-files.js";

const { exports } = JSON.parse(readSource("package.json")) as { readonly exports: Readonly<Record<string, unknown>> };

/** "." -> src/index.ts, "./tensor" -> src/tensor/index.ts, "./serve" -> apps/serve/index.ts. */
const entries = Object.keys(exports)
  .filter((entry) => !entry.endsWith(".json"))
  .map((entry) => ({
    name: join("early-exits", entry).replaceAll("\\", "/"),
    path: join(root, existsSync(join(root, "apps", entry, "index.ts")) ? "apps" : "src", entry, "index.ts"),
  }));

// Names alone: without the types of the language and of Node.
const program = ts.createProgram({
  rootNames: entries.map(({ path }) => path),
  options: { module: ts.ModuleKind.NodeNext, noLib: true, types: [] },
});
const checker = program.getTypeChecker();

/** Exported names in alphabetical order, types marked. */
function exportsOf(path: string): string[] {
  const module = checker.getSymbolAtLocation(program.getSourceFile(path)!)!;
  return checker
    .getExportsOfModule(module)
    .map((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      return target.flags & ts.SymbolFlags.Value ? symbol.name : `type ${symbol.name}`;
    })
    .sort((a, b) => (a.replace("type ", "") < b.replace("type ", "") ? -1 : 1));
}

it.each(entries)("$name exports what its list says", async ({ name, path }) => {
  const file = join(import.meta.dirname, "exports", `${name.replaceAll("/", "-")}.txt`);
  await expect(`${exportsOf(path).join("\n")}\n`).toMatchFileSnapshot(file);
});

it("the main entry is short enough to learn", () => {
  const names = exportsOf(entries[0]!.path);
  expect(names.length).toBeLessThanOrEqual(65);
  expect(names).toContain("generate");
});
