/** The race: plain against the chosen mode, or against exits if that is plain. */
import type { LaneResult, Mode } from "./engine/index.js";
import { isCancelled, type Session } from "./session.js";
import { byId, chosenMode, modeNames, RaceView, showError, slowMotion } from "./views/index.js";

export class Racing {
  readonly #session: Session;
  readonly #view = new RaceView();

  constructor(session: Session) {
    this.#session = session;
  }

  async race(): Promise<void> {
    const { client, settings, opened } = this.#session;
    if (opened === undefined) return;
    if (settings.policy === undefined) {
      say("This model has no exits with a policy, so there is nobody to race against.");
      return;
    }
    const controller = this.#session.begin("race");
    const modes: readonly Mode[] = ["plain", chosenMode() === "lossless" ? "lossless" : "exits"];
    const lanes = modes.map((mode) => ({ mode, name: modeNames[mode], scale: this.#session.scaleOf(mode) }));
    say("Ready …");
    this.#view.begin({ prompt: settings.prompt, lanes, slow: slowMotion() });
    controller.signal.addEventListener("abort", () => this.#view.stop());
    try {
      const results = await client.request(
        { type: "race", modes, ...settings },
        { signal: controller.signal, onStep: (step) => this.#view.add(step) },
      );
      await this.#view.end(results);
      say(controller.signal.aborted ? "Stopped." : resultOf(results));
    } catch (error) {
      this.#view.stop();
      if (isCancelled(error)) say("Stopped.");
      else showError(error);
    } finally {
      this.#session.end(controller);
    }
  }

  clear(): void {
    this.#view.clear();
    say("");
  }
}

function say(text: string): void {
  byId("race-status").textContent = text;
}

function resultOf([plain, other]: readonly LaneResult[]): string {
  if (plain === undefined || other === undefined || plain.newTokens < 2 || other.newTokens < 2) return "Too short.";
  const perToken = ({ milliseconds, newTokens }: LaneResult): number => milliseconds / (newTokens - 1);
  const ratio = perToken(plain) / perToken(other);
  const same = plain.text === other.text;
  const name = modeNames[other.mode];
  return (
    `${name.charAt(0).toUpperCase()}${name.slice(1)}, a token took ${perToken(other).toFixed(2)} ms, plain ` +
    `${perToken(plain).toFixed(2)} ms: ${ratio.toFixed(2)} times as fast in this race. ` +
    (same ? "Both wrote the same text." : "The texts differ.")
  );
}
