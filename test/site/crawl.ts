/** Follows the links of a folder of static pages, as any host would serve them from any path. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { once } from "../support/models.js";
import { filesOf } from "../../site/output/relocate.js";

export const root = join(import.meta.dirname, "../..");
/** The built site. */
export const built = join(root, "site/dist");
if (!existsSync(join(built, "index.html"))) throw new Error("site/dist does not exist; run npm run build:site");

const TAG = /<(?:a|link|script|img)\b[^>]*>/g;
const ADDRESS = /\s(?:href|src)="([^"]*)"/;

/**
 * Reads every page below a folder. `dead` are the links that lead to nothing, as "page -> link". A link from the root
 * of the host is dead: the site may lie below a path.
 */
export async function crawl(folder: string) {
  const pages = await filesOf(folder, /\.html$/);
  const read = (page: string) => readFileSync(join(folder, page), "utf8");
  const anchorsOf = once((page: string) => new Set(idsOf(read(page))));
  const dead: string[] = [];
  let links = 0;
  for (const page of pages) {
    for (const link of linksOf(read(page))) {
      if (/^(?:[a-z][a-z+.-]*:|#\w+=)/i.test(link)) continue; // of a host, or settings of this page
      links++;
      const [path = "", anchor = ""] = link.replace(/\?[^#]*/, "").split("#");
      const target = path === "" ? page : fileAt(folder, posix.join(posix.dirname(page), decodeURI(path)));
      const found =
        target !== undefined &&
        !path.startsWith("/") &&
        (anchor === "" || !target.endsWith(".html") || anchorsOf(target).has(decodeURIComponent(anchor)));
      if (!found) dead.push(`${page} -> ${link}`);
    }
  }
  return { pages, links, dead };
}

function linksOf(html: string) {
  const visible = html.replace(/<!--[\s\S]*?-->/g, "").replace(/(<script[^>]*>)[\s\S]*?<\/script>/g, "$1");
  return Array.from(visible.matchAll(TAG), ([tag]) => ADDRESS.exec(tag)?.[1])
    .filter((link) => link !== undefined)
    .map((link) => link.replaceAll("&amp;", "&"));
}

const idsOf = (html: string) => Array.from(html.matchAll(/\s(?:id|name)="([^"]+)"/g), ([, id]) => id!);

/** The file that a host sends for a path; undefined outside the folder, or if there is none. */
function fileAt(folder: string, path: string) {
  if (path.startsWith("..")) return undefined;
  const file = path === "." || path.endsWith("/") ? posix.join(path, "index.html") : path;
  return existsSync(join(folder, file)) && statSync(join(folder, file)).isFile() ? file : undefined;
}
