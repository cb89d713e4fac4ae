/**
 * Stop strings in a stream of text pieces: text is released as soon as no stop string can begin in it, so that a stop
 * string never shows, even when it arrives in several pieces.
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
   * Adds a piece; returns the text that is now certain, and whether a stop string was completed (the text ends before
   * it).
   */
  push(piece: string, last: boolean): { text: string; matched: boolean } {
    const text = this.#held + piece;
    const at = this.stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (at.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...at)), matched: true };
    }
    const kept = last ? 0 : this.#possibleBeginning(text);
    this.#held = text.slice(text.length - kept);
    return { text: text.slice(0, text.length - kept), matched: false };
  }

  /** Length of the longest end of `text` that begins some stop string. */
  #possibleBeginning(text: string): number {
    const longest = Math.min(text.length, Math.max(0, ...this.stops.map((stop) => stop.length - 1)));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
