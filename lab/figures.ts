/**
 * `npm run figures [-- NAME…]` draws all figures of docs/figures from real runs, or those named. All take a few
 * minutes.
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { advanceGrid } from "./figures/advance.js";
import { costs } from "./figures/costs.js";
import { devices } from "./figures/devices.js";
import { documentsNeeded } from "./figures/documents-needed.js";
import { fillsChart } from "./figures/fills.js";
import { fixedSequence } from "./figures/fixed-sequence.js";
import { gradients } from "./figures/gradients.js";
import { logitLens } from "./figures/logit-lens.js";
import { ownText } from "./figures/own-text.js";
import { roofline } from "./figures/roofline.js";
import { scores } from "./figures/scores.js";
import { textByDepth } from "./figures/text-by-depth.js";
import { training } from "./figures/training.js";

/** By file name. */
const figures: Readonly<Record<string, () => Promise<string>>> = {
  "text-by-depth": textByDepth,
  gradients,
  advance: advanceGrid,
  "logit-lens": logitLens,
  training,
  scores,
  "fixed-sequence": fixedSequence,
  "own-text": ownText,
  fills: fillsChart,
  costs,
  devices,
  roofline,
  "documents-needed": documentsNeeded,
};

const { positionals } = parseArgs({ allowPositionals: true });
const unknown = positionals.filter((name) => !(name in figures));
if (unknown.length > 0) {
  throw new Error(`figures: no figure ${unknown.join(", ")}; choose from ${Object.keys(figures).join(", ")}`);
}
for (const [name, draw] of Object.entries(figures)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const started = performance.now();
  const svg = await draw();
  await writeFile(fileURLToPath(new URL(`../docs/figures/${name}.svg`, import.meta.url)), svg);
  console.error(
    `${name}.svg: ${(svg.length / 1024).toFixed(1)} kB, ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}
