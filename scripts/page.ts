/**
 * `npm run page -- docs/03-exit-heads.md` runs the `ts` blocks of a page and prints the output of each. To do an
 * exercise, change the page and run it again. With --write, the output replaces what the page shows, wherever the two
 * differ.
 */
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { agrees, blocksOf } from "./pages/blocks.js";
import { runPage } from "./pages/run-page.js";

const {
  values: { write },
  positionals,
} = parseArgs({ options: { write: { type: "boolean", default: false } }, allowPositionals: true });
if (positionals.length === 0) throw new Error("usage: npm run page -- docs/PAGE.md [--write]");
for (const path of positionals) {
  const page = await readFile(path, "utf8");
  const { outputs, errors } = await runPage(page, { name: basename(path, ".md") });
  process.stderr.write(errors);
  const blocks = blocksOf(page).filter(({ language }) => language === "ts");
  let written = page;
  // From the last block to the first, so that positions before a replacement stay valid.
  for (const [i, { line, expected, expectedAt }] of [...blocks.entries()].toReversed()) {
    if (expected !== undefined && !agrees(expected, outputs[i]!)) {
      written = written.slice(0, expectedAt![0]) + outputs[i]! + written.slice(expectedAt![1]);
    } else if (expected === undefined && outputs[i] !== "") {
      console.log(`${path}:${line} prints something, but no text block follows it`);
    }
  }
  for (const [i, { line }] of blocks.entries()) console.log(`${path}:${line}\n${outputs[i]!}`);
  if (write && written !== page) await writeFile(path, written);
}
