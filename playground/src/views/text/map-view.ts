/**
 * A text as a map of blocks times tokens: the first guess after every block, by the logit lens or by the exit heads,
 * coloured by its confidence; or the origin of every key and value. A slider reads the text as one block would have
 * written it.
 */
import type { KeyValueSpan, LensRow, TokenEvent } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import { visible } from "../format.js";
import { depthName } from "./depth-scale.js";

/** Columns at most: the map of a longer text shows its first tokens. */
const MOST = 128;

interface Mapped {
  readonly tokens: readonly TokenEvent[];
  readonly numLayers: number;
  readonly keyValues: readonly (readonly KeyValueSpan[])[];
}

export class MapView {
  readonly #slider = byId("block", HTMLInputElement);
  #mapped: Mapped = { tokens: [], numLayers: 1, keyValues: [] };
  readonly #guesses = new Map<number, LensRow>();

  constructor(onChoose: (index: number) => void) {
    byId("map").addEventListener("click", ({ target }) => {
      const cell = (target as HTMLElement).closest("td");
      if (cell !== null) onChoose(cell.cellIndex - 1);
    });
    this.#slider.addEventListener("input", () => this.#read());
    byId("map-kinds").addEventListener("change", () => void this.#drawAll());
  }

  /** Starts the map of a text; without one, hides it. */
  begin(mapped?: Mapped): void {
    byId("inside").hidden = mapped === undefined;
    this.#guesses.clear();
    if (mapped === undefined) return;
    const { numLayers } = mapped;
    this.#mapped = { ...mapped, tokens: mapped.tokens.slice(0, MOST) };
    const columns = this.#mapped.tokens.map(({ text }) => element("th", { scope: "col" }, visible(text)));
    const rows = Array.from({ length: numLayers }, (_, row) =>
      element("tr", {}, element("th", { scope: "row" }, String(numLayers - row))),
    );
    byId("map").replaceChildren(
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "block"), ...columns)),
      element("tbody", {}, ...rows),
    );
    this.#slider.max = String(numLayers);
    if (this.#kind === "keys") void this.#drawAll();
  }

  /** Adds the guesses after a block. */
  add(row: LensRow): void {
    this.#guesses.set(row.depth, row);
    if (this.#kind !== "keys") this.#draw(row.depth);
  }

  get #kind(): string {
    return document.querySelector<HTMLInputElement>("input[name=map]:checked")!.value;
  }

  /** Draws one row a frame, so that nothing waits for a large map. */
  async #drawAll(): Promise<void> {
    const kind = this.#kind;
    byId("map").dataset["kind"] = kind;
    for (let depth = this.#mapped.numLayers; depth > 0 && kind === this.#kind; depth--) {
      this.#draw(depth);
      await new Promise(requestAnimationFrame);
    }
  }

  #draw(depth: number): void {
    const { tokens, numLayers, keyValues } = this.#mapped;
    const row = byId("map").querySelectorAll("tbody tr")[numLayers - depth];
    const cells = tokens.map((_, i) => {
      if (this.#kind !== "keys") return this.#guess(i, depth);
      const span = keyValues[i]?.find(({ first, last }) => first <= depth && depth <= last);
      return element("td", { class: span?.source });
    });
    row?.replaceChildren(row.firstElementChild!, ...cells);
    if (depth === Number(this.#slider.value)) this.#read();
  }

  #guessesAt(depth: number): LensRow["lens"] {
    const row = this.#guesses.get(depth);
    return (this.#kind === "head" ? row?.head : row?.lens) ?? [];
  }

  #guess(index: number, depth: number): HTMLElement {
    const guess = this.#guessesAt(depth)[index];
    if (guess === undefined) return element("td");
    const same = guess.text === this.#mapped.tokens[index]!.text;
    const confidence = `${Math.round(100 * guess.confidence)}%`;
    const cell = element("td", { title: confidence, class: same && "same" }, visible(guess.text));
    cell.style.setProperty("--confidence", confidence);
    return cell;
  }

  /** Shows the guesses after the block of the slider as a text. */
  #read(): void {
    const { tokens, numLayers } = this.#mapped;
    const depth = Number(this.#slider.value);
    for (const row of byId("map").querySelectorAll("tbody tr")) {
      row.classList.toggle("chosen", row.firstElementChild!.textContent === String(depth));
    }
    const words = this.#guessesAt(depth)
      .slice(0, tokens.length)
      .map(({ text }, i) => {
        return element("span", { class: text === tokens[i]!.text ? "token" : "token differs" }, text);
      });
    const same = words.filter(({ className }) => className === "token").length;
    byId("block-value", HTMLOutputElement).value =
      `${depthName({ numLayers }, depth)}: ${same} of ${words.length} tokens as written`;
    byId("said").replaceChildren(...words);
  }
}
