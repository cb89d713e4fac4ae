/**
 * Pages of the repository's files that the documentation links to: code with colours, Markdown as it reads, folders as
 * lists. They are static, and link among themselves; what they link to has a page too.
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { createMarkdownRenderer, type MarkdownRenderer } from "vitepress";
import { isPicture, pathAt, repository, SOURCE, toTop } from "../markdown/addresses.js";
import { anchorOf } from "../markdown/anchors.js";
import { repositoryLinks, type SourceEnvironment } from "../markdown/links.js";
import { filesOf } from "./relocate.js";

/** Larger files are shown without colours. */
const COLOURED_BYTES = 100_000;
/** Larger files are named only. */
const SHOWN_BYTES = 1_000_000;

const LANGUAGES: Readonly<Record<string, string>> = {
  ".ts": "ts",
  ".js": "js",
  ".mjs": "js",
  ".json": "json",
  ".html": "html",
  ".css": "css",
  ".sh": "sh",
  ".yaml": "yaml",
};

const LINK = /\b(?:href|src)="([^"#]+)(?:#[^"]*)?"/g;

/** Writes the pages that the pages at the top of a folder need. */
export async function writeSourcePages(folder: string): Promise<void> {
  const md = await createMarkdownRenderer(join(repository, "docs"), {
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    anchor: { slugify: anchorOf },
    config: (renderer) => void renderer.use(repositoryLinks),
  });
  const tracked = new Set(execFileSync("git", ["ls-files", "-z"], { cwd: repository, encoding: "utf8" }).split("\0"));
  const wanted = new Set<string>();
  const want = (html: string, from: string): void => {
    for (const [, link] of html.matchAll(LINK)) {
      const address = decodeURI(new URL(link!, `http://site/${from}`).pathname.slice(1));
      if (!/^[a-z]+:/.test(link!) && address.startsWith(SOURCE)) wanted.add(address);
    }
  };
  for (const path of await filesOf(folder, /^[^/]+\.html$/)) want(await readFile(join(folder, path), "utf8"), path);
  for (const address of wanted) {
    const target = join(folder, address);
    await mkdir(dirname(target), { recursive: true });
    if (isPicture(address)) {
      await cp(join(repository, pathAt(address)), target);
      continue;
    }
    const content = await contentOf(address, md, tracked);
    want(content, address);
    await writeFile(target, pageOf(pathAt(address), content, address));
  }
  await cp(join(import.meta.dirname, "source.css"), join(folder, SOURCE, "source.css"));
  await cp(join(import.meta.dirname, "source.js"), join(folder, SOURCE, "source.js"));
}

async function contentOf(address: string, md: MarkdownRenderer, tracked: ReadonlySet<string>): Promise<string> {
  const path = pathAt(address);
  const file = join(repository, path);
  const stats = await stat(file);
  if (stats.isDirectory()) return folderOf(path, address, md, tracked);
  if (stats.size > SHOWN_BYTES) return `<p>${(stats.size / 1e6).toFixed(1)} MB, which this site does not show.</p>`;
  const text = await readFile(file, "utf8");
  if (extname(path) === ".md") return md.render(text, { repositoryPath: path, address } satisfies SourceEnvironment);
  const language = stats.size > COLOURED_BYTES ? "txt" : (LANGUAGES[extname(path)] ?? "txt");
  const fence = "`".repeat(Math.max(3, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length + 1)));
  return md.render(`${fence}${language}\n${text.trimEnd()}\n${fence}\n`, {});
}

/** A folder's README, and the names of what git tracks in it. */
async function folderOf(
  path: string,
  address: string,
  md: MarkdownRenderer,
  tracked: ReadonlySet<string>,
): Promise<string> {
  const inside = [...tracked].filter((file) => file.startsWith(`${path}/`)).map((file) => file.slice(path.length + 1));
  const names = [...new Set(inside.map((file) => file.replace(/\/.*/, "/")))];
  const readme = names.includes("README.md") ? await readFile(join(repository, path, "README.md"), "utf8") : "";
  const list = names.filter((name) => name !== "README.md").map((name) => `- [${name}](${name})\n`);
  return md.render(`${readme}\n\n${list.join("")}`, {
    repositoryPath: `${path}/README.md`,
    address,
  } satisfies SourceEnvironment);
}

function pageOf(path: string, content: string, address: string): string {
  const top = toTop(address);
  const title = extname(path) === ".md" ? (/<h1[^>]*>(.*?)<a /s.exec(content)?.[1] ?? path) : path;
  const heading = content.includes("<h1") ? "" : `<h1>${path}</h1>\n`;
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title.replace(/<[^>]+>/g, "").trim()} | early-exits</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="${top}${SOURCE}source.css">
    <script src="${top}${SOURCE}source.js"></script>
  </head>
  <body>
    <header><a href="${top}index.html">early-exits</a> <code>${path}</code></header>
    <main>
${heading}${content.replace(/<button title="Copy Code" class="copy"><\/button>/g, "")}
    </main>
  </body>
</html>
`;
}
