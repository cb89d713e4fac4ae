/**
 * The text, token by token, each coloured by its depth. One token is in the tab order; the arrow keys, Home and End
 * move between tokens. Hovering, focusing or tapping chooses the token that the inspector describes.
 */
import { element } from "../dom.js";
import { depthName, type DepthScale } from "./depth-scale.js";
import { visible } from "../format.js";
import { tokenElement } from "./token-element.js";
import type { Prediction, TokenEvent } from "../../engine/index.js";

export class TextView {
  readonly #root: HTMLElement;
  readonly #onChoose: (index: number) => void;
  #tokens: HTMLElement[] = [];
  #scale: DepthScale = { numLayers: 1, depths: [] };
  #chosen = -1;

  constructor(root: HTMLElement, onChoose: (index: number) => void) {
    this.#root = root;
    this.#onChoose = onChoose;
    const indexOf = (event: Event): number =>
      this.#tokens.indexOf((event.target as HTMLElement).closest<HTMLElement>(".token")!);
    for (const type of ["pointerover", "focusin", "click"]) {
      root.addEventListener(type, (event) => this.choose(indexOf(event)));
    }
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Starts a new text after a prompt. */
  begin(prompt: string, scale: DepthScale): void {
    this.#scale = scale;
    this.#tokens = [];
    this.#chosen = -1;
    this.#root.replaceChildren(element("span", { class: "prompt" }, prompt));
    this.#root.setAttribute("aria-busy", "true");
  }

  add(event: TokenEvent): void {
    const [space, token] = tokenElement(event, this.#scale, {
      role: "button",
      tabindex: this.#tokens.length === 0 ? 0 : -1,
      "aria-label": `${visible(event.text)}, ${depthName(this.#scale, event.depth)}`,
    });
    this.#tokens.push(token);
    this.#root.append(space, token);
  }

  /** Shows no text. */
  clear(): void {
    this.begin("", this.#scale);
    this.end([]);
  }

  /** Marks tokens that are not the full model's. */
  end(predictions: readonly Prediction[]): void {
    this.#root.setAttribute("aria-busy", "false");
    for (const [i, { agrees }] of predictions.entries()) {
      const token = this.#tokens[i];
      if (agrees || token === undefined) continue;
      token.classList.add("differs");
      token.setAttribute("aria-label", `${token.getAttribute("aria-label") ?? ""}, not the full model's token`);
    }
  }

  /** Chooses a token, unless there is none at the index. */
  choose(index: number): void {
    if (!(index in this.#tokens) || index === this.#chosen) return;
    this.#tokens[this.#chosen]?.classList.remove("chosen");
    for (const token of this.#tokens) token.tabIndex = -1;
    const token = this.#tokens[index]!;
    token.classList.add("chosen");
    token.tabIndex = 0;
    this.#chosen = index;
    this.#onChoose(index);
  }

  #key(event: KeyboardEvent): void {
    const last = this.#tokens.length - 1;
    const target = { ArrowRight: this.#chosen + 1, ArrowLeft: this.#chosen - 1, Home: 0, End: last }[event.key];
    if (target === undefined || last < 0) return;
    event.preventDefault();
    this.#tokens[Math.min(last, Math.max(0, target))]!.focus();
  }
}
