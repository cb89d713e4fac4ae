/** A token on the page: its text, on the colour of the depth that it needed. */
import type { TokenEvent } from "../../engine/index.js";
import { depthColor, type DepthScale } from "./depth-scale.js";
import { element } from "../dom.js";

type Attributes = Parameters<typeof element>[1];

/** The space before a token, and the token. The space stands apart so that only words are coloured. */
export function tokenElement(
  { text, depth }: TokenEvent,
  scale: DepthScale,
  attributes: Attributes = {},
): readonly [space: string, token: HTMLElement] {
  const space = text.trim() === "" ? "" : text.slice(0, text.length - text.trimStart().length);
  const word = text === "" ? "\u200b" : text.slice(space.length);
  const token = element("span", { class: "token", "data-depth": depth, ...attributes }, word);
  if (depth < scale.numLayers) token.style.setProperty("--tint", depthColor(scale, depth));
  return [space, token];
}
