/** The package as users get it: the tarball of `npm pack`, installed into an empty folder. */
import { execFile } from "node:child_process";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { libraryVersion } from "early-exits";
import { scratch } from "../support/scratch.js";

export const root = join(import.meta.dirname, "../..");

/** Runs a program without a shell and returns its output. Throws, with both streams, if it fails. */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(command, args, { cwd, timeout: 240_000, maxBuffer: 2 ** 26 });
}

/**
 * Packs dist as it is (build first) and installs the tarball into an empty folder, whose path it returns, with the
 * examples, a corpus, and the tarball of SmolLM2's exits beside it. The folder's name has a space and a letter outside
 * ASCII, as a user's may.
 */
export async function installTarball() {
  const path = scratch("early exits pâckage ").path();
  await run("npm", ["pack", "--workspaces", "--include-workspace-root", "--pack-destination", path], root);
  await writeFile(join(path, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  await install(path, "early-exits");
  await cp(join(root, "examples"), join(path, "examples"), { recursive: true });
  await writeFile(join(path, "corpus.txt"), await smallCorpus());
  return path;
}

/** Installs the tarball of a package that lies in the folder. */
export async function install(folder: string, name: string) {
  const tarball = `./${name}-${libraryVersion}.tgz`;
  await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", tarball], folder);
}

/** The beginnings of 120 documents, separated by blank lines. */
async function smallCorpus() {
  const { train } = JSON.parse(await readFile(join(root, "models/sotu-12/documents.json"), "utf8")) as {
    readonly train: readonly { readonly text: string }[];
  };
  const beginnings = train.slice(0, 120).map(({ text }) => text.slice(0, 600).replaceAll("\n", " "));
  return beginnings.join("\n\n");
}
