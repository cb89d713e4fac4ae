/**
 * The public surface, pinned: every name that each entry of the package exports, in test/house/exports/*.txt. Where a
 * change is meant, `npx vitest run test/house/exports.test.ts -u` writes the lists anew, and CHANGELOG.md says so.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readSource, withoutComments } from "./source-files.js";

const { exports } = JSON.parse(readSource("package.json")) as { readonly exports: Readonly<Record<string, unknown>> };

/** "." -> src/index.ts, "./tensor" -> src/tensor/index.ts, "./serve" -> apps/serve/index.ts. */
const entries = Object.keys(exports)
  .filter((entry) => !entry.endsWith(".json"))
  .map((entry) => ({
    name: join("early-exits", entry).replaceAll("\\", "/"),
    path: join(existsSync(join("apps", entry, "index.ts")) ? "apps" : "src", entry, "index.ts"),
  }));

/** Exported names in alphabetical order, types marked, as the compiler wants them (verbatimModuleSyntax). */
function exportsOf(path: string) {
  const lists = withoutComments(readSource(path)).matchAll(/^export (type )?(?:\{([^}]*)\}|\w+ (\w+))/gm);
  return Array.from(lists, ([, type = "", names = "", name = names]) =>
    name.split(",").flatMap((one) => {
      const [, own = "", said] = /(type )?(\w+)\s*$/.exec(one) ?? [];
      return said === undefined ? [] : `${type || own}${said}`;
    }),
  )
    .flat()
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
