/**
 * Runs the `ts` blocks of a page, one after another, as one program: a block may use what earlier blocks declare. Paths
 * are relative to the root of the repository, which must be the current folder.
 */
import { rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { blocksOf } from "./blocks.js";

const MARK = "\u0001";

export interface PageRun {
  /** Output of each `ts` block on stdout. */
  readonly outputs: readonly string[];
  /** Their output by console.error. */
  readonly errors: string;
}

export interface RunPageOptions {
  /** The name of the temporary file with the program; two runs at the same time need two names. */
  readonly name: string;
  /** Replacements in the program, such as the paths of an example. */
  readonly replace?: Readonly<Record<string, string>>;
}

export async function runPage(page: string, { name, replace = {} }: RunPageOptions): Promise<PageRun> {
  const program = blocksOf(page)
    .filter(({ language }) => language === "ts")
    .map(({ code }) => `console.log("${MARK}");\n${code}`)
    .join("\n");
  const file = resolve("docs", `${name}.generated.ts`);
  await writeFile(
    file,
    Object.entries(replace).reduce((text, [from, to]) => text.replaceAll(from, to), program),
  );
  const printed: string[] = [];
  const errors: string[] = [];
  const { log, error } = console;
  const write = process.stdout.write.bind(process.stdout);
  console.log = (...values: unknown[]) => void printed.push(`${format(...values)}\n`);
  console.error = (...values: unknown[]) => void errors.push(`${format(...values)}\n`);
  process.stdout.write = (text: string | Uint8Array) => printed.push(String(text)) > 0;
  try {
    await import(pathToFileURL(file).href);
  } finally {
    Object.assign(console, { log, error });
    process.stdout.write = write;
    await rm(file, { force: true });
  }
  return { outputs: printed.join("").split(`${MARK}\n`).slice(1), errors: errors.join("") };
}
