/**
 * `npm run drawings`: draws docs/figures/drawing-*.svg. They hold no measurement and no date, so the same code gives
 * the same bytes; test/docs/drawings.test.ts compares.
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { drawings } from "./drawings/index.js";

for (const [name, draw] of Object.entries(drawings)) {
  const svg = draw();
  await writeFile(fileURLToPath(new URL(`../docs/figures/${name}.svg`, import.meta.url)), svg);
  console.error(`${name}.svg: ${(svg.length / 1024).toFixed(1)} kB`);
}
