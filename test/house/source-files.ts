/** The TypeScript files that git tracks or would track, and what they import: for tests about the repository itself. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Paths from the root, with slashes, of files that exist, matching git pathspecs such as "src/*.ts". */
export function repositoryFiles(...pathspecs: readonly string[]) {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", ...pathspecs];
  const deleted = new Set(git("ls-files", "-z", "--deleted"));
  return git(...list).filter((path) => !deleted.has(path));
}

function git(...words: readonly string[]) {
  const out = execFileSync("git", words, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 });
  return out.split("\0").filter((path) => path !== "");
}

export const readSource = (path: string) => readFileSync(join(root, path), "utf8");

export const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\/|(?<![:"'`])\/\/.*/g, "");

/** Imports of a source text, static or dynamic: the specifiers as written. */
export function importsOf(source: string) {
  const pattern = /\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g;
  return Array.from(withoutComments(source).matchAll(pattern), ([, specifier]) => specifier!);
}

/** The path from the root that a relative specifier in the file `path` means; in AssemblyScript it has no ending. */
export function resolveImport(path: string, specifier: string) {
  const target = normalize(join(dirname(path), specifier)).replaceAll("\\", "/");
  return path.endsWith(".as.ts") ? `${target}.ts` : target.replace(/\.js$/, ".ts");
}
