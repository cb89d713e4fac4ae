/** The model in a sentence, and the legend of its depths. */
import type { Opened } from "../engine/index.js";
import { depthColor, depthName, type DepthScale } from "./text/index.js";
import { byId, element } from "./dom.js";
import { count } from "./format.js";

/** Source of a model. */
export type Source = "embedded" | "files" | "address";

/** Shows the panel of a source, and marks it as chosen. */
export function showSource(source: Source): void {
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=source]")) {
    input.checked = input.value === source;
  }
  byId("source-files").hidden = source !== "files";
  byId("address-form").hidden = source !== "address";
}

export function showModel(opened: Opened, source: Source): void {
  const { device, modelType, numLayers, hiddenSize, vocabSize, parameters, context, depths } = opened;
  const shape =
    `${modelType}, ${count(parameters)} parameters, ${numLayers} blocks of ${hiddenSize}, ` +
    `vocabulary ${vocabSize}, context ${context}`;
  const heads =
    depths.length === 0
      ? "No exit heads: it can only write plainly."
      : `Exit heads after blocks ${depths.join(", ")}${opened.shipped ? ", which come with this page" : ""}.`;
  byId("model").textContent = `${source === "embedded" ? "The embedded model" : "Your model"}: ${shape}. ${heads}`;
  byId("device-runs").textContent = device;
  showSource(source);
}

/** The colours of the depths, with the tokens of the text that left there. */
export function showLegend(scale: DepthScale, tokens: readonly number[] = []): void {
  // Repetitions draft at depth 0; an exit at the top skips no block.
  const below = [0, ...scale.depths].filter((depth) => depth < scale.numLayers && (depth > 0 || tokens[0]! > 0));
  const entries = [...below, scale.numLayers].map((depth) => {
    const swatch = element("span", { class: "swatch" });
    if (depth < scale.numLayers) swatch.style.background = depthColor(scale, depth);
    const count = tokens[depth];
    return element("span", {}, swatch, ` ${depthName(scale, depth)}${count === undefined ? "" : `: ${count} tokens`}`);
  });
  byId("legend").replaceChildren(...entries);
}
