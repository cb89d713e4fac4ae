/** A game: where will the next token of the text leave? The answer is shown after the guess, and a score is kept. */
import type { TokenEvent } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import { visible } from "../format.js";
import { depthName, type DepthScale } from "./depth-scale.js";
import { tokenElement } from "./token-element.js";

/** Tokens before the one in question that are shown. */
const SHOWN = 24;

let right = 0;
let asked = 0;

/** Asks about a text that left at several depths, from its second token on; hides the game for others. */
export function askDepths(prompt: string, tokens: readonly TokenEvent[], scale: DepthScale): void {
  byId("guess").hidden = scale.depths.length === 0 || tokens.length < 2;
  let at = 1;
  const status = element("p", { role: "status" }, "Which depth will the next token need?");
  const text = element("p", { class: "text said" });
  const show = (): void => {
    const before = tokens.slice(Math.max(0, at - SHOWN), at);
    text.replaceChildren(
      element("span", { class: "prompt" }, at > SHOWN ? "… " : prompt),
      ...before.flatMap((token) => tokenElement(token, scale)),
      at < tokens.length ? " ?" : " (the end)",
    );
  };
  const depths = new Set([...tokens.map(({ depth }) => depth), ...scale.depths, scale.numLayers]);
  const buttons = [...depths]
    .sort((a, b) => a - b)
    .map((depth) => {
      const button = element("button", { type: "button" }, depthName(scale, depth));
      button.addEventListener("click", () => {
        const token = tokens[at];
        if (token === undefined) return;
        at++;
        asked++;
        const hit = token.depth === depth;
        if (hit) right++;
        status.textContent =
          `${hit ? "Right" : "No"}: “${visible(token.text)}” needed ${depthName(scale, token.depth)}. ` +
          `Your score: ${right} of ${asked}.`;
        show();
      });
      return button;
    });
  byId("guess-body").replaceChildren(status, text, element("div", { class: "row" }, ...buttons));
  show();
}
