/** The prediction of each head at the chosen token, its score and threshold, and the full model's prediction. */
import { element, table } from "./dom.js";
import { depthColor, type DepthScale } from "./depth-scale.js";
import { percent, threshold, visible } from "./format.js";
import type { Mode, Prediction, TokenEvent } from "../engine/index.js";

export interface Inspected {
  readonly token: TokenEvent;
  readonly prediction: Prediction | undefined;
  readonly scale: DepthScale;
  readonly score: string | undefined;
  readonly mode: Mode;
}

export function showInspector(root: HTMLElement, { token, prediction, scale, score = "", mode }: Inspected): void {
  const title = element("h3", {}, "Token ", element("code", {}, visible(token.text)));
  if (prediction === undefined) {
    root.replaceChildren(
      title,
      element(
        "p",
        {},
        `Chosen after ${token.depth} of ${scale.numLayers} blocks. The heads' predictions are shown once the text ` +
          "is complete.",
      ),
    );
    return;
  }
  const low = score === "entropy"; // the only score that falls as confidence grows
  const rows = prediction.exits.map(({ depth, text, score: value, threshold: limit, fires, agrees }, exit) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = depthColor(scale, depth);
    const sign = low ? (fires ? "≤" : ">") : fires ? "≥" : "<";
    const compared = limit === "never" ? ", never leaves here" : ` ${sign} ${threshold(limit)}`;
    return [
      element("span", {}, swatch, ` ${depth}`),
      element("span", {}, element("code", {}, visible(text)), agrees ? " =" : " ≠"),
      `${value.toFixed(2)}${compared}`,
      verdict(mode, token.exit, exit, fires),
    ];
  });
  const full = [
    element("span", {}, element("span", { class: "swatch" }), ` ${scale.numLayers}, all`),
    element("code", {}, visible(prediction.full.text)),
    `probability ${percent(prediction.full.probability)}`,
    prediction.agrees ? "written" : "not run",
  ];
  root.replaceChildren(
    title,
    table(
      `Predictions at this position${score === "" ? "" : `, with the score ${score}`}`,
      ["after blocks", "predicts (= as the full model)", "score and threshold", ""],
      [...rows, full],
      { class: "predictions" },
    ),
    ...(prediction.agrees
      ? []
      : [element("p", { class: "note" }, "This token differs from the full model's prediction for the same text.")]),
  );
}

/** What a head did for the token that left at exit `left`, in a word. */
function verdict(mode: Mode, left: number | undefined, exit: number, fires: boolean): string {
  if (mode === "plain") return "";
  if (exit === left) return mode === "lossless" ? "drafted" : "left here";
  if (left !== undefined && exit > left) return "not run";
  return fires ? "confident" : "stays";
}
