/** Measures every way of writing the current prompt: after a text, if that takes only a moment, or when asked. */
import { type Mode, modes, type Timing, type WriteOptions } from "./engine/index.js";
import { isCancelled, type Session } from "./session.js";
import {
  byId,
  chosenMode,
  clearCosts,
  comparisonOf,
  showBeside,
  showError,
  showStatus,
  showTimings,
  showVerdict,
} from "./views/index.js";

/** Runs of each mode, at least and at most. */
const ROUNDS = { least: 3, most: 7 } as const;
/** A comparison that nobody asked for has as many rounds as fit into this time, or is left out. */
const UNASKED_SECONDS = 8;

export class Comparison {
  readonly #session: Session;
  /** The settings of the last comparison, as JSON. */
  #compared = "";
  #timings: readonly Timing[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  /** Forgets the last comparison, because another model was opened. */
  forget(): void {
    this.#compared = "";
    clearCosts();
  }

  /**
   * Shows a text beside the plain one, and compares in as many rounds as take only a moment, but not twice for the same
   * settings, which are those that wrote it.
   */
  async afterText(tokens: readonly string[], mode: Mode, settings: WriteOptions, signal: AbortSignal): Promise<void> {
    const { client } = this.#session;
    const shown = mode === "plain" ? [] : tokens;
    if (JSON.stringify(settings) === this.#compared) {
      showBeside(this.#timings[0]?.tokens, shown);
      this.#showVerdict(mode);
      return;
    }
    showVerdict(undefined, "plain");
    const started = performance.now();
    const [plain] = await client.request({ type: "compare", modes: ["plain"], rounds: 1, ...settings }, { signal });
    showBeside(plain?.tokens, shown);
    const secondsPerRun = (performance.now() - started) / 1000 / 2; // one run to warm up, one that counts
    const secondsPerRound = secondsPerRun * modesOf(settings).length;
    const fitting = Math.floor(UNASKED_SECONDS / secondsPerRound) - 1; // another round warms up
    if (tokens.length > 1 && fitting >= ROUNDS.least) {
      await this.#compare(Math.min(ROUNDS.most, fitting), mode, settings, signal);
    }
  }

  /** Compares whatever it takes. */
  async measure(): Promise<void> {
    const controller = this.#session.begin("measure");
    const before = byId("status").textContent;
    showStatus("Measuring …");
    await this.#compare(ROUNDS.most, chosenMode(), this.#session.settings, controller.signal).catch(
      (error: unknown) => isCancelled(error) || showError(error),
    );
    if (this.#session.end(controller)) showStatus(before);
  }

  async #compare(rounds: number, mode: Mode, settings: WriteOptions, signal: AbortSignal): Promise<void> {
    const compared = { type: "compare", modes: modesOf(settings), rounds, ...settings } as const;
    this.#timings = await this.#session.client.request(compared, { signal });
    this.#compared = JSON.stringify(settings);
    showTimings(byId("timings"), this.#timings);
    this.#showVerdict(mode);
  }

  #showVerdict(mode: Mode): void {
    const shown = mode === "lossless" ? mode : "exits";
    showVerdict(comparisonOf(this.#timings, shown), shown);
  }
}

function modesOf({ policy }: WriteOptions): readonly Mode[] {
  return policy === undefined ? ["plain"] : modes;
}
