/**
 * The content security policy of the site's pages, as a meta tag, so that any host of static files enforces it. Scripts
 * in the pages are named by their hashes; styles are inline because highlighted code is.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { filesOf } from "./relocate.js";

const INLINE = /<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g;

/** The policy of a page. `blob:` lets the tour make modules of its cells. */
function policyOf(html: string): string {
  const hashes = Array.from(
    html.matchAll(INLINE),
    ([, script]) => `'sha256-${createHash("sha256").update(script!).digest("base64")}'`,
  );
  return [
    "default-src 'self'",
    ["script-src 'self' blob: 'wasm-unsafe-eval'", ...hashes].join(" "),
    "style-src 'self' 'unsafe-inline'",
    "worker-src 'self' blob:",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}

/** Puts its policy into every page at the top of a folder. */
export async function secure(folder: string): Promise<void> {
  for (const path of await filesOf(folder, /^[^/]+\.html$/)) {
    const html = await readFile(join(folder, path), "utf8");
    const meta = `<meta http-equiv="Content-Security-Policy" content="${policyOf(html)}">`;
    await writeFile(join(folder, path), html.replace('<meta charset="utf-8">', `<meta charset="utf-8">\n    ${meta}`));
  }
}
