/** The programs of pages: all `ts` blocks of a page, one after another. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { agrees, blocksOf } from "../../scripts/pages/blocks.js";
import { runPage } from "../../scripts/pages/run-page.js";

/** Pages whose programs train, calibrate or export for long: `npm run test:docs` runs them, `npm test` all others. */
export const longPrograms: readonly string[] = [
  "docs/03-exit-heads",
  "docs/04-self-supervision",
  "docs/05-confidence",
  "docs/07-keys-and-values",
  "docs/11-your-model",
  "docs/12-certificates",
  "docs/14-limits",
  "apps/export/README",
  "apps/serve/README",
].map((name) => `${name}.md`);

/** Tests that the program of a page runs. */
export function itsProgramRuns(path: string) {
  it("its program runs, and every block prints what the page shows", async () => {
    const page = readFileSync(path, "utf8");
    // The README's program runs where the package is installed.
    const replace = { "node_modules/early-exits/": "" };
    const { outputs } = await runPage(page, { name: `test-${path.replace(/\W/g, "-")}`, replace });
    const programs = blocksOf(page).filter(({ language }) => language === "ts");
    expect(outputs.length).toBe(programs.length);
    for (const [i, { expected, line }] of programs.entries()) {
      if (!agrees(expected ?? "", outputs[i]!)) {
        expect(outputs[i], `${path}:${line}; to change the page: npm run page -- ${path} --write`).toBe(expected ?? "");
      }
    }
  });
}
