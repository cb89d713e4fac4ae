/** What each head said at the chosen token, its score beside the threshold, and the full model's answer. */
import { element, table } from "./dom.js";
import { depthColor, type DepthScale } from "./depth-scale.js";
import { percent, threshold, visible } from "./format.js";
import type { Mode, Saying, TokenEvent } from "../engine/protocol.js";

export interface Inspected {
  readonly token: TokenEvent;
  readonly saying: Saying | undefined;
  readonly scale: DepthScale;
  readonly score: string | undefined;
  readonly mode: Mode;
}

export function showInspector(root: HTMLElement, { token, saying, scale, score = "", mode }: Inspected): void {
  const title = element("h3", {}, "Token ", element("code", {}, visible(token.text)));
  if (saying === undefined) {
    root.replaceChildren(
      title,
      element(
        "p",
        {},
        `Chosen after ${token.depth} of ${scale.numLayers} blocks. What the heads say is shown when the text ` +
          "is complete.",
      ),
    );
    return;
  }
  const low = score === "entropy"; // the only score where less is surer
  const rows = saying.exits.map(({ depth, text, score: value, threshold: limit, fires, agrees }, exit) => {
    const left = token.exit === exit && mode !== "plain";
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = depthColor(scale, depth);
    const compared =
      limit === "never"
        ? `${value.toFixed(2)}, never leaves here`
        : `${value.toFixed(2)} ${fires ? (low ? "≤" : "≥") : low ? ">" : "<"} ${threshold(limit)}`;
    const verdict =
      mode === "plain"
        ? ""
        : left
          ? mode === "lossless"
            ? "drafted"
            : "left here"
          : token.exit !== undefined && exit > token.exit
            ? "not asked"
            : fires
              ? "sure"
              : "stays";
    return [
      element("span", {}, swatch, ` ${depth}`),
      element("span", {}, element("code", {}, visible(text)), agrees ? " =" : " ≠"),
      compared,
      verdict,
    ];
  });
  const full = [
    element("span", {}, element("span", { class: "swatch" }), ` ${scale.numLayers}, all`),
    element("code", {}, visible(saying.full.text)),
    `probability ${percent(saying.full.probability)}`,
    saying.agrees ? "written" : "was not asked",
  ];
  root.replaceChildren(
    title,
    table(
      `What was said here${score === "" ? "" : `, with the score ${score}`}`,
      ["after blocks", "says (= as the full model)", "score and threshold", ""],
      [...rows, full],
      { class: "sayings" },
    ),
    ...(saying.agrees
      ? []
      : [element("p", { class: "note" }, "This token differs from the full model's answer to the same text.")]),
  );
}
