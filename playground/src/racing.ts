/** The race: plain against the chosen mode, or against exits if that is plain. */
import type { LaneResult, Mode } from "./engine/index.js";
import { isCancelled, type Session } from "./session.js";
import { byId, chosenMode, modeNames, playRace, showError, slowMotion } from "./views/index.js";

export class Racing {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async race(): Promise<void> {
    const { client, settings, ready } = this.#session;
    if (ready === undefined) return;
    if (settings.policy === undefined) {
      say("This model has no exits with a policy, so there is nobody to race against.");
      return;
    }
    const controller = this.#session.begin("race");
    const { signal } = controller;
    say("Timing both …");
    const modes: readonly Mode[] = ["plain", chosenMode() === "lossless" ? "lossless" : "exits"];
    try {
      const results = await client.request({ type: "race", modes, ...settings }, { signal });
      const lanes = results.map((lane) => ({
        ...lane,
        name: modeNames[lane.mode],
        scale: this.#session.scaleOf(lane.mode),
      }));
      await playRace({ prompt: settings.prompt, lanes, slow: slowMotion(), signal });
      say(signal.aborted ? "Stopped." : resultOf(results));
    } catch (error) {
      if (!isCancelled(error)) showError(error);
      say("Stopped.");
    } finally {
      this.#session.end(controller);
    }
  }

  clear(): void {
    byId("lanes").replaceChildren();
    say("");
  }
}

function say(text: string): void {
  byId("race-status").textContent = text;
}

function resultOf([plain, other]: readonly LaneResult[]): string {
  const perToken = (lane: LaneResult | undefined): number =>
    (lane?.steps.at(-1)?.at ?? 0) / ((lane?.steps.length ?? 0) - 1);
  const [before, now] = [perToken(plain), perToken(other)];
  if (plain === undefined || other === undefined || !(before > 0 && now > 0)) return "Too short.";
  return (
    `A token took ${now.toFixed(2)} ms ${modeNames[other.mode]} and ${before.toFixed(2)} ms plain: ` +
    `${(before / now).toFixed(2)} times as fast in this race. ` +
    (plain.text === other.text ? "Both wrote the same text." : "The texts differ.")
  );
}
