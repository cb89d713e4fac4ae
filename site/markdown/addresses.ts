/**
 * Where a file of the repository is on the site. Pages of docs/ are at the top; any other file or folder that a page
 * links to has a page below source/, and pictures lie there as they are.
 */
import { statSync } from "node:fs";
import { join, posix } from "node:path";

export const repository = join(import.meta.dirname, "../..");

const PICTURE = /\.(?:svg|png)$/;

/** The folder of the pages of source files. */
export const SOURCE = "source/";

/** The address, from the site's top, of a path of the repository. Throws if nothing is there. */
export function addressOf(path: string): string {
  const clean = path.replace(/\/$/, "");
  const stats = statSync(join(repository, clean), { throwIfNoEntry: false });
  if (stats === undefined) throw new Error(`a page links to ${path}, which does not exist in the repository`);
  const page = /^docs\/([^/]+)\.md$/.exec(clean)?.[1];
  if (page !== undefined) return page === "README" ? "index.html" : `${page}.html`;
  if (clean === "docs") return "index.html";
  if (clean === "playground") return "playground/index.html";
  if (stats.isDirectory()) return `${SOURCE}${clean}/index.html`;
  return PICTURE.test(clean) ? SOURCE + clean : `${SOURCE}${clean}.html`;
}

/** The path of the repository that an address below source/ shows. */
export function pathAt(address: string): string {
  return address.slice(SOURCE.length).replace(/(?:\/index)?\.html$/, "");
}

/** True if an address below source/ is a file as it lies, not a page about it. */
export const isPicture = (address: string): boolean => PICTURE.test(address);

/** "../../" for a page two folders down: what leads from a page to the site's top. */
export const toTop = (address: string): string => "../".repeat(address.split("/").length - 1) || "./";

/** The path that a relative link on the page of `from` means, and its anchor with "#". */
export function linked(from: string, link: string): { readonly path: string; readonly anchor: string } {
  const [target = "", anchor] = link.split("#");
  const path = target === "" ? from : posix.normalize(posix.join(posix.dirname(from), target));
  return { path, anchor: anchor === undefined ? "" : `#${anchor}` };
}
