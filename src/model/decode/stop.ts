/**
 * Stop strings in a stream of text pieces. Text is released once no stop string can begin in it, so none appears in the
 * output, even if it arrives in pieces.
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
   * Adds a piece; after the `last`, nothing is held back. Returns the text that is certain now, and `matched` if it
   * ends before a completed stop string.
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

  /** Longest end of `text` that begins some stop string. */
  #possibleBeginning(text: string): number {
    const longest = Math.min(text.length, Math.max(0, ...this.stops.map((stop) => stop.length - 1)));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
