/**
 * Builds the site into site/dist: the pages of docs/, pages of the files that they link to, the playground
 * (playground/dist), the API reference (docs/api) and the embedded model, for the tour. The files work from any path of
 * any host of static files. `npm run build:site` first builds the parts.
 */
import { existsSync } from "node:fs";
import { cp, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "vitepress";
import { PLACEHOLDER, relocate } from "./output/relocate.js";
import { secure } from "./output/security.js";
import { writeSourcePages } from "./output/source-pages.js";
import { repository } from "./markdown/addresses.js";

const dist = join(import.meta.dirname, "dist");

/** For addresses that do not exist. It cannot know how deep they are, so it has no links. */
const NOT_FOUND = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Not found | early-exits</title>
  </head>
  <body>
    <h1>Not found</h1>
    <p>This address is not part of the documentation of early-exits.</p>
  </body>
</html>
`;

/** Folders of the site that come as they are, with what makes each. */
const PARTS = [
  { from: "playground/dist", to: "playground", madeBy: "npm run build:playground" },
  { from: "docs/api", to: "api", madeBy: "npm run docs:api" },
  { from: "models/sotu-12", to: "models/sotu-12", madeBy: "git checkout models/sotu-12" },
] as const;

for (const { from, madeBy } of PARTS) {
  if (!existsSync(join(repository, from))) throw new Error(`${from} does not exist; run ${madeBy}`);
}
await rm(dist, { recursive: true, force: true });
await build(import.meta.dirname, { base: PLACEHOLDER });
await relocate(dist);
await writeFile(join(dist, "404.html"), NOT_FOUND);
await secure(dist);
for (const { from, to } of PARTS) {
  const visible = (path: string): boolean => !basename(path).startsWith(".") || basename(path) === ".nojekyll";
  await cp(join(repository, from), join(dist, to), { recursive: true, filter: visible });
}
await writeSourcePages(dist);
await writeFile(join(dist, ".nojekyll"), ""); // GitHub Pages would leave out files whose names begin with "_"
