/** Depths of a text's tokens, as a sentence for the status line. */
import type { Written } from "../../engine/index.js";
import type { DepthScale } from "../text/index.js";
import { percent } from "../format.js";

export function summaryOf({ newTokens, meanDepth, predictions }: Written, { numLayers }: DepthScale): string {
  const same = predictions.filter(({ agrees }) => agrees).length;
  const agreement =
    predictions.length === 0 ? "" : `; ${percent(same / predictions.length)} are the full model's first choice`;
  return `${newTokens} tokens, mean depth ${meanDepth.toFixed(2)} of ${numLayers} blocks${agreement}.`;
}
