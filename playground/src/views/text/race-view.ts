/**
 * Two texts side by side, each with a cursor and a clock. Tokens appear when the slowed clock reaches them, or at once
 * if they come later than that. The factor makes the first tokens of the slowest lane slow enough for eyes.
 */
import type { LaneResult, Mode, RaceStep } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import type { DepthScale } from "./depth-scale.js";
import { tokenElement } from "./token-element.js";

/** Milliseconds on the wall that a token of the first lane takes at least, in slow motion. */
const PACE = 45;
/** Tokens of the first lane after which the factor is known. */
const SAMPLE = 6;

interface LaneElements {
  readonly text: HTMLElement;
  readonly clock: HTMLElement;
  readonly cursor: HTMLElement;
  readonly scale: DepthScale;
  tokens: number;
}

export interface RaceShown {
  readonly prompt: string;
  readonly lanes: readonly { readonly mode: Mode; readonly name: string; readonly scale: DepthScale }[];
  readonly slow: boolean;
}

export class RaceView {
  readonly #root = byId("lanes");
  #lanes: LaneElements[] = [];
  #waiting: RaceStep[] = [];
  #slow = false;
  #factor: number | undefined;
  #begun = 0;
  #frame = 0;
  #ended: { readonly results: readonly LaneResult[]; readonly resolve: () => void } | undefined;

  /** Shows empty lanes after a prompt. */
  begin({ prompt, lanes, slow }: RaceShown): void {
    this.stop();
    this.#slow = slow;
    this.#factor = slow ? undefined : 1;
    this.#begun = performance.now();
    this.#lanes = lanes.map(({ scale }) => ({
      text: element("p", { class: "text" }, element("span", { class: "prompt" }, prompt)),
      clock: element("p", { class: "clock" }, "ready"),
      cursor: element("span", { class: "cursor", "aria-hidden": "true" }),
      scale,
      tokens: 0,
    }));
    this.#root.replaceChildren(
      ...this.#lanes.map(({ text, clock, cursor }, i) => {
        text.append(cursor);
        const { mode, name } = lanes[i]!;
        return element("div", { class: "lane", "data-mode": mode }, element("h3", {}, name), clock, text);
      }),
    );
    this.#root.setAttribute("aria-busy", "true");
    this.#play();
  }

  add(step: RaceStep): void {
    this.#waiting.push(step);
  }

  /** Shows the rest, and resolves when the last cursor has arrived. */
  end(results: readonly LaneResult[]): Promise<void> {
    return new Promise((resolve) => {
      this.#ended = { results, resolve };
    });
  }

  /** Ends the race as it stands. */
  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#waiting = [];
    for (const { cursor } of this.#lanes) cursor.remove();
    this.#root.setAttribute("aria-busy", "false");
    this.#ended?.resolve();
    this.#ended = undefined;
  }

  /** Shows no lanes. */
  clear(): void {
    this.stop();
    this.#lanes = [];
    this.#root.replaceChildren();
  }

  /** Milliseconds on the lanes' clocks that have passed on the wall. */
  get #now(): number {
    return (performance.now() - this.#begun) / (this.#factor ?? Infinity);
  }

  #play(): void {
    this.#frame = requestAnimationFrame(() => this.#play());
    this.#factor ??= this.#measuredFactor();
    if (this.#factor === undefined) return;
    const now = this.#now;
    const due = this.#waiting.filter(({ at }) => at <= now);
    this.#waiting = this.#waiting.filter(({ at }) => at > now);
    for (const step of due) this.#show(step);
    if (this.#waiting.length > 0 || this.#ended === undefined) return;
    this.#showEnds(this.#ended.results);
    this.stop();
  }

  /** Factor by which the race is shown slower than measured; undefined while too little is known. */
  #measuredFactor(): number | undefined {
    const first = this.#waiting.filter(({ lane }) => lane === 0);
    if (first.length <= SAMPLE && this.#ended === undefined) return undefined;
    const perToken = (first.at(-1)?.at ?? 0) / Math.max(1, first.length - 1);
    const factor = perToken === 0 || !this.#slow ? 1 : Math.max(1, Math.round(PACE / perToken));
    byId("race-status").textContent = factor === 1 ? "At full speed." : `Slowed down ${factor} times.`;
    this.#begun = performance.now();
    return factor;
  }

  #show({ lane, at, token }: RaceStep): void {
    const shown = this.#lanes[lane]!;
    shown.tokens++;
    shown.cursor.before(...tokenElement(token, shown.scale));
    shown.clock.textContent = clockText(shown.tokens, at);
  }

  #showEnds(results: readonly LaneResult[]): void {
    for (const [i, { newTokens, milliseconds }] of results.entries()) {
      this.#lanes[i]!.clock.textContent = `${clockText(newTokens, milliseconds)}, done`;
    }
  }
}

function clockText(tokens: number, milliseconds: number): string {
  return `${tokens} tokens in ${milliseconds.toFixed(1)} ms`;
}
