/**
 * The site of the documentation. The pages are those of docs/, where they lie; the sidebar is the contents of
 * docs/README.md. `site/build.ts` builds it and adds the playground, the API reference and the pages of source files.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitepress";
import { anchorOf } from "../markdown/anchors.js";
import { codeBeside } from "../markdown/beside.js";
import { tourCells } from "../markdown/cells.js";
import { contentsOf } from "../markdown/contents.js";
import { formulas } from "../markdown/formulas.js";
import { repositoryLinks } from "../markdown/links.js";

const path = (from: string): string => fileURLToPath(new URL(from, import.meta.url));
const contents = contentsOf(readFileSync(path("../../docs/README.md"), "utf8"));

/** The same three bars as the playground's. */
const icon =
  "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>" +
  "<path fill='%234b83c9' d='M1 12h4v3H1z'/>" +
  "<path fill='%2388a98c' d='M6 7h4v8H6z'/><path fill='%23d9b44a' d='M11 1h4v14h-4z'/></svg>";

export default defineConfig({
  lang: "en",
  title: "early-exits",
  description: "Self-supervised early exits for language models, in TypeScript: how they work, page by page.",
  head: [["link", { rel: "icon", href: icon }]],
  srcDir: path("../../docs"),
  outDir: path("../dist"),
  cacheDir: path("cache"),
  rewrites: { "README.md": "index.md" },
  metaChunk: true, // no script of the pages depends on their address, or is inline: relocate.ts
  markdown: {
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    anchor: { slugify: anchorOf },
    config(md) {
      md.use(codeBeside);
      md.use(repositoryLinks);
      md.use(formulas);
      md.use(tourCells);
    },
  },
  themeConfig: {
    nav: [
      { text: "Pages", link: "/" },
      { text: "Tour", link: "/tour" },
      { text: "Playground", link: "/playground/", target: "_self" },
      { text: "API", link: "/api/", target: "_self" },
    ],
    sidebar: [
      { text: "Pages in order", items: [{ text: "Contents", link: "/" }, ...contents.numbered] },
      { text: "Beside the pages", items: [...contents.others] },
    ],
    outline: { level: [2, 3] },
    search: { provider: "local" },
    externalLinkIcon: true,
  },
  vite: {
    resolve: {
      alias: [
        { find: /^early-exits$/, replacement: path("../../src/index.ts") },
        { find: /^early-exits\/(\w+)$/, replacement: path("../../src/$1/index.ts") },
      ],
    },
    worker: { format: "es" },
    build: { target: "es2023", chunkSizeWarningLimit: 2000 },
    server: { fs: { allow: [path("../..")] } },
  },
});
