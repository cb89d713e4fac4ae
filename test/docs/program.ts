/** The programs of pages: all `ts` blocks of a page, one after another. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { agrees, blocksOf } from "../../scripts/pages/blocks.js";
import { runPage } from "../../scripts/pages/run-page.js";

/** Pages whose programs train, calibrate or export for long: `npm run test:docs` runs them, `npm test` all others. */
export const longPrograms: readonly string[] = [
  "03-exit-heads",
  "04-self-supervision",
  "05-confidence",
  "07-certificates",
  "08-keys-and-values",
  "12-limits",
  "13-pretrained-models",
  "exporting",
  "serving",
].map((name) => `docs/${name}.md`);

/** Tests that the program of a page runs. */
export function itsProgramRuns(path: string) {
  it("its program runs, and every block prints what the page shows", async () => {
    const page = readFileSync(path, "utf8");
    const name = `test-${basename(path, ".md")}`;
    const { outputs } = await (path === "README.md" ? runReadme(page, name) : runPage(page, { name }));
    const programs = blocksOf(page).filter(({ language }) => language === "ts");
    expect(outputs.length).toBe(programs.length);
    for (const [i, { expected, line }] of programs.entries()) {
      if (path === "README.md" && expected === undefined) continue; // it streams a text that cannot be predicted
      if (!agrees(expected ?? "", outputs[i]!)) {
        expect(outputs[i], `${path}:${line}; to change the page: npm run page -- ${path} --write`).toBe(expected ?? "");
      }
    }
  });
}

/** The README's program is about the reader's own model and text, and trains for longer than a test should. */
async function runReadme(page: string, name: string) {
  const scratch = mkdtempSync(join(tmpdir(), "early-exits-pages-"));
  const corpus = join(scratch, "corpus.txt");
  const { train } = JSON.parse(readFileSync("models/sotu-6/documents.json", "utf8")) as {
    readonly train: readonly { readonly text: string }[];
  };
  const texts = train.slice(0, 40).map(({ text }) => text);
  writeFileSync(corpus, texts.join("\n\n"));
  const replace = {
    "path/to/hf-folder": "models/sotu-6",
    "corpus.txt": corpus,
    "steps: 500": "steps: 2",
    "node_modules/early-exits/": "",
  };
  try {
    return await runPage(page, { name, replace });
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
