/**
 * The chosen token: the prediction of each head with its score and threshold, the full model's prediction, and how the
 * keys and values of the position came about at which it was chosen.
 */
import type { KeyValueSpan, Mode, Prediction, TokenEvent } from "../../engine/index.js";
import { element, table } from "../dom.js";
import { percent, threshold, visible } from "../format.js";
import { depthColor, type DepthScale } from "./depth-scale.js";
import { keyValueWords } from "./key-value-words.js";

export interface Inspected {
  readonly token: TokenEvent;
  readonly prediction: Prediction | undefined;
  readonly scale: DepthScale;
  readonly score: string | undefined;
  readonly mode: Mode;
  /** The token before it, at whose position it was chosen. */
  readonly before: string;
  /** Origin of that position's keys and values; undefined while the text grows. */
  readonly keyValues: readonly KeyValueSpan[] | undefined;
  /** The text of another token. */
  readonly textOf: (token: number) => string;
}

export function showInspector(root: HTMLElement, inspected: Inspected): void {
  root.replaceChildren(
    element("h3", {}, "Token ", quoted(inspected.token.text)),
    ...predictions(inspected),
    ...keyValues(inspected),
  );
}

function predictions({ token, prediction, scale, score = "", mode, keyValues }: Inspected): HTMLElement[] {
  if (prediction === undefined) {
    const reason =
      keyValues === undefined
        ? "The heads' predictions are shown once the text is complete."
        : "There are no exit heads that could have predicted it.";
    return [element("p", {}, `Chosen after ${token.depth} of ${scale.numLayers} blocks. ${reason}`)];
  }
  const low = score === "entropy"; // the only score that falls as confidence grows
  const rows = prediction.exits.map(({ depth, text, score: value, threshold: limit, fires, agrees }, exit) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = depthColor(scale, depth);
    const sign = low ? (fires ? "≤" : ">") : fires ? "≥" : "<";
    const compared = limit === "never" ? ", never leaves here" : ` ${sign} ${threshold(limit)}`;
    return [
      element("span", {}, swatch, ` ${depth}`),
      element("span", {}, quoted(text), agrees ? " =" : " ≠"),
      `${value.toFixed(2)}${compared}`,
      verdict(mode, token.exit, exit, fires),
    ];
  });
  const full = [
    element("span", {}, element("span", { class: "swatch" }), ` ${scale.numLayers}, all`),
    quoted(prediction.full.text),
    `probability ${percent(prediction.full.confidence)}`,
    token.exit !== undefined && mode !== "lossless" ? "not run" : prediction.agrees ? "written" : "not drawn",
  ];
  return [
    table(
      `Predictions at this position${score === "" ? "" : `, with the score ${score}`}`,
      ["after blocks", "predicts (= as the full model)", "score and threshold", "decision"],
      [...rows, full],
      { class: "predictions" },
    ),
    ...(prediction.agrees
      ? []
      : [element("p", { class: "note" }, "This token differs from the full model's prediction for the same text.")]),
  ];
}

/** Origin of the keys and values, as a list of blocks. */
function keyValues({ keyValues, before, textOf }: Inspected): HTMLElement[] {
  if (keyValues === undefined) return [];
  const items = keyValues.map((span) => {
    const { blocks, words } = keyValueWords(span, (index) => `“${visible(textOf(index))}”`);
    return element("li", { class: span.source }, element("b", {}, blocks), ` ${words}`);
  });
  return [
    element("h4", {}, "Keys and values of ", quoted(before), ", where this token was chosen"),
    element("ul", { class: "key-values" }, ...items),
  ];
}

function quoted(text: string): HTMLElement {
  return element("code", {}, visible(text));
}

/** Role of a head for the token that left at exit `left`, in a word. */
function verdict(mode: Mode, left: number | undefined, exit: number, fires: boolean): string {
  if (mode === "plain") return "not asked";
  if (exit === left) return mode === "lossless" ? "drafted" : "left here";
  if (left !== undefined && exit > left) return "not run";
  return fires ? "confident" : "stays";
}
