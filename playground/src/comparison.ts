/** Measures every way of writing the current prompt: after a text, if that takes only a moment, or when asked. */
import { type Mode, modes, type Written } from "./engine/index.js";
import type { Session } from "./session.js";
import {
  byId,
  chosenMode,
  clearCosts,
  comparisonOf,
  showError,
  showStatus,
  showTimings,
  showVerdict,
} from "./views/index.js";

/** Runs of each mode, at least and at most. */
const ROUNDS = { least: 3, most: 7 } as const;
/** A comparison that nobody asked for has as many rounds as fit into this time. */
const UNASKED_SECONDS = 4;
/** If not even the fewest rounds fit into this time, it is left out. */
const PATIENCE_SECONDS = 12;

export class Comparison {
  readonly #session: Session;
  /** The settings of the last comparison, as JSON. */
  #compared = "";

  constructor(session: Session) {
    this.#session = session;
  }

  /** Forgets the last comparison, because another model was opened. */
  forget(): void {
    this.#compared = "";
    clearCosts();
  }

  /** Compares in as many rounds as take only a moment, and not twice for the same settings. */
  async afterText({ newTokens }: Written, signal: AbortSignal): Promise<void> {
    const { client, settings } = this.#session;
    if (JSON.stringify(settings) === this.#compared) return;
    showVerdict(undefined, "plain");
    const started = performance.now();
    await client.request({ type: "compare", modes: ["plain"], rounds: 1, ...settings }, { signal });
    const secondsPerRun = (performance.now() - started) / 1000 / 2; // one run to warm up, one that counts
    const secondsPerRound = secondsPerRun * this.#modes().length;
    const fitting = Math.floor(UNASKED_SECONDS / secondsPerRound) - 1; // another round warms up
    const rounds = Math.min(ROUNDS.most, Math.max(ROUNDS.least, fitting));
    if (newTokens > 1 && secondsPerRound * (rounds + 1) < PATIENCE_SECONDS) await this.#compare(rounds, signal);
  }

  /** Compares whatever it takes. */
  async measure(): Promise<void> {
    const controller = this.#session.begin("measure");
    const before = byId("status").textContent;
    showStatus("Measuring …");
    await this.#compare(ROUNDS.most, controller.signal).catch(showError);
    showStatus(before);
    this.#session.end(controller);
  }

  async #compare(rounds: number, signal: AbortSignal): Promise<void> {
    const { client, settings, points } = this.#session;
    const timings = await client.request({ type: "compare", modes: this.#modes(), rounds, ...settings }, { signal });
    this.#compared = JSON.stringify(settings);
    showTimings(byId("timings"), timings);
    const shown = chosenMode() === "lossless" ? "lossless" : "exits";
    showVerdict(comparisonOf(timings, shown), shown);
    const exits = comparisonOf(timings, "exits");
    if (exits !== undefined) points.price(exits.ratio);
  }

  #modes(): readonly Mode[] {
    return this.#session.policy === undefined ? ["plain"] : modes;
  }
}
