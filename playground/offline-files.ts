/**
 * Tells the built service worker which files make up the page, and a hash of them. The page itself is stored under the
 * folder's address, because some hosts redirect index.html to it, and a redirected page cannot be served from a cache.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import type { Plugin } from "vite";

export const SERVICE_WORKER = "service-worker";
/** A folder that is not stored: exits for models that are not the page's own, and would double what it stores. */
const LEFT_OUT = "exits";

/** Writes the list into the service worker of the build, once all files are in place. */
export function withOfflineFiles(folder: string): Plugin {
  return {
    name: "offline-files",
    apply: "build",
    enforce: "post",
    async closeBundle() {
      const worker = join(folder, `${SERVICE_WORKER}.js`);
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      const paths = entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((path) => path !== worker && !relative(folder, path).startsWith(`${LEFT_OUT}${sep}`))
        .sort();
      const hash = createHash("sha256").update(await readFile(worker));
      for (const path of paths) hash.update(relative(folder, path)).update(await readFile(path));
      const files = paths.map((path) =>
        relative(folder, path)
          .replaceAll(sep, "/")
          .replace(/^index\.html$/, ""),
      );
      const constants = { OFFLINE_FILES: files, OFFLINE_VERSION: hash.digest("hex").slice(0, 16) };
      const words = Object.entries(constants).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
      await writeFile(worker, words.join("") + (await readFile(worker, "utf8")));
    },
  };
}
