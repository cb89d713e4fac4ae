/**
 * Makes a build of VitePress work from any path. It is built for a placeholder as its base; here, HTML and CSS get
 * relative addresses, and scripts ask at run time where they themselves lie.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { parseSync } from "vite";
import { toTop } from "../markdown/addresses.js";

/** The base that the site is built with. */
export const PLACEHOLDER = "/site-base-placeholder/";

/** Rewrites every file of a build. Throws where a placeholder stands in a place that cannot be rewritten. */
export async function relocate(folder: string): Promise<void> {
  for (const path of await filesOf(folder, /\.(?:html|css|js)$/)) {
    const file = join(folder, path);
    const text = await readFile(file, "utf8");
    if (!text.includes(PLACEHOLDER)) continue;
    await writeFile(
      file,
      path.endsWith(".js") ? relocatedScript(text, path) : text.replaceAll(PLACEHOLDER, toTop(path)),
    );
  }
}

/** The files of a folder whose names match, as paths with slashes. */
export async function filesOf(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries
    .map((path) => path.replaceAll(sep, "/"))
    .filter((path) => pattern.test(path))
    .sort();
}

interface Span {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** Nodes whose strings are no values: they must be literals. */
const FIXED = new Set(["ImportDeclaration", "ExportAllDeclaration", "ExportNamedDeclaration", "Property"]);

/** A module at `path` in which every string that holds the placeholder computes its value from the module's address. */
export function relocatedScript(code: string, path: string): string {
  const base = `new URL(${JSON.stringify(toTop(path))},import.meta.url).pathname`;
  const strings = stringsOf(parseSync(path, code).program, undefined, code);
  let out = "";
  let at = 0;
  let found = 0;
  for (const { start, end } of strings) {
    const text = code.slice(start, end);
    found += text.split(PLACEHOLDER).length - 1;
    out += `${code.slice(at, start)}(${text}.replaceAll(${JSON.stringify(PLACEHOLDER)},${base}))`;
    at = end;
  }
  if (found !== code.split(PLACEHOLDER).length - 1) {
    throw new Error(`${path}: the base stands in a place that is no string, so the site would not work from any path`);
  }
  return out + code.slice(at);
}

/** The outermost strings and templates that hold the placeholder, in the order of the code. */
function stringsOf(node: Span, parent: Span | undefined, code: string): Span[] {
  if (!code.slice(node.start, node.end).includes(PLACEHOLDER)) return [];
  const tagged = parent?.type === "TaggedTemplateExpression";
  if (node.type === "Literal" && !(parent !== undefined && FIXED.has(parent.type) && isFixed(node, parent))) {
    return [node];
  }
  if (node.type === "TemplateLiteral" && !tagged) return [node];
  return Object.values(node)
    .flat()
    .filter((value): value is Span => typeof value === "object" && value !== null && "type" in value)
    .flatMap((child) => stringsOf(child, node, code))
    .sort((a, b) => a.start - b.start);
}

/** True if a literal is the source of an import, or the key of a property. */
function isFixed(node: Span, parent: Span): boolean {
  const { source, key } = parent as Span & { readonly source?: Span; readonly key?: Span };
  return node === source || node === key;
}
