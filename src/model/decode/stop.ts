/**
 * Stop strings in a stream of text pieces. Text is released as soon as no stop string can begin in it, so a stop string
 * never appears in the output, even if it arrives in several pieces.
 */
import { OptionError } from "../../errors.js";

export class StopMatcher {
  #held = "";

  constructor(readonly stops: readonly string[]) {
    if (stops.some((stop) => stop === "")) {
      throw new OptionError("stop-empty", "generate: a stop string is empty; it would match everywhere");
    }
  }

  /**
   * Adds a piece. Returns the text that is certain now, and whether a stop string was completed; the text ends before
   * it. After the `last` piece nothing is held back.
   */
  push(piece: string, { last }: { readonly last: boolean }): { text: string; matched: boolean } {
    const text = this.#held + piece;
    const matches = this.stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (matches.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...matches)), matched: true };
    }
    const certain = text.length - (last ? 0 : this.#possibleBeginning(text));
    this.#held = text.slice(certain);
    return { text: text.slice(0, certain), matched: false };
  }

  /** Length of the longest end of `text` with which some stop string begins. */
  #possibleBeginning(text: string): number {
    const longest = Math.min(text.length, Math.max(0, ...this.stops.map((stop) => stop.length - 1)));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
