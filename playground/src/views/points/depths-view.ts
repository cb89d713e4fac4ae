/** Depths of a text's tokens: a sentence for the status line, and the chart with its caption. */
import type { Written } from "../../engine/index.js";
import { depthName, type DepthScale } from "../text/index.js";
import { byId } from "../dom.js";
import { percent } from "../format.js";

export function summaryOf({ newTokens, meanDepth, predictions }: Written, { numLayers }: DepthScale): string {
  const same = predictions.filter(({ agrees }) => agrees).length;
  const agreement =
    predictions.length === 0 ? "" : `; ${percent(same / predictions.length)} are the full model's first choice`;
  return `${newTokens} tokens, mean depth ${meanDepth.toFixed(2)} of ${numLayers} blocks${agreement}.`;
}

/** Shows no depths. */
export function clearDepths(): void {
  wish++;
  byId("depths").replaceChildren();
  byId("depths-caption").textContent = "Appears with the first text.";
}

/** The chart arrives after the caption, so the latest wish wins. */
let wish = 0;

export async function showDepths(depthCounts: readonly number[], scale: DepthScale): Promise<void> {
  const mine = ++wish;
  const counts = depthCounts.flatMap((tokens, depth) =>
    tokens > 0 ? [`${tokens} after ${depthName(scale, depth)}`] : [],
  );
  byId("depths-caption").textContent = `${counts.join(", ")}.`;
  const { depthChart } = await import("./charts.js");
  if (mine === wish) byId("depths").replaceChildren(depthChart(depthCounts, scale, byId("depths").clientWidth));
}
