/**
 * Runs the `ts` blocks of a page, one after another, as the one program that they are: what a block declares, those
 * after it may use. Paths are relative to the repository's root, which must be the current folder.
 */
import { rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { blocksOf } from "./blocks.js";

const MARK = "\u0001";

export interface PageRun {
  /** What each `ts` block printed on stdout. */
  readonly outputs: readonly string[];
  /** What they wrote by console.error. */
  readonly errors: string;
}

export interface RunPageOptions {
  /** Of the file that holds the program for a while; two runs at a time need two. */
  readonly name: string;
  /** Replaced in the program, such as the paths of an example. */
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
  const [printed, errors]: [string[], string[]] = [[], []];
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
