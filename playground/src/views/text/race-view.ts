/** Two texts side by side, each with a cursor and a clock, replayed slowly enough for eyes. */
import type { LaneResult } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import type { DepthScale } from "./depth-scale.js";
import { tokenElement } from "./token-element.js";

/** Milliseconds on the wall that a token of the first lane takes at least, in slow motion. */
const PACE = 45;

/** A lane that has been timed. */
interface LaneShown extends LaneResult {
  readonly name: string;
  readonly scale: DepthScale;
}

interface RaceShown {
  readonly prompt: string;
  readonly lanes: readonly LaneShown[];
  readonly slow: boolean;
  readonly signal: AbortSignal;
}

/** Replays lanes after a prompt, and resolves when the last cursor has arrived, or at the signal. */
export function playRace({ prompt, lanes, slow, signal }: RaceShown): Promise<void> {
  const perToken = (lanes[0]?.steps.at(-1)?.at ?? 0) / (lanes[0]?.steps.length ?? 1);
  const factor = slow && perToken > 0 ? Math.max(1, Math.round(PACE / perToken)) : 1;
  byId("race-status").textContent = factor === 1 ? "At full speed." : `Slowed down ${factor} times.`;
  const shown = lanes.map(({ name, mode }) => {
    const clock = element("p", { class: "clock" });
    const cursor = element("span", { class: "cursor", "aria-hidden": "true" });
    const text = element("p", { class: "text" }, element("span", { class: "prompt" }, prompt), cursor);
    const lane = element("div", { class: "lane", "data-mode": mode }, element("h3", {}, name), clock, text);
    return { lane, clock, cursor, tokens: 0 };
  });
  byId("lanes").replaceChildren(...shown.map(({ lane }) => lane));
  const begun = performance.now();
  return new Promise((resolve) => {
    const play = (): void => {
      const now = (performance.now() - begun) / factor;
      let running = false;
      for (const [i, lane] of shown.entries()) {
        const { steps, scale } = lanes[i]!;
        while (lane.tokens < steps.length && steps[lane.tokens]!.at <= now) {
          lane.cursor.before(...tokenElement(steps[lane.tokens++]!.token, scale));
        }
        const done = lane.tokens === steps.length;
        const at = steps[lane.tokens - 1]?.at ?? 0;
        lane.clock.textContent = `${lane.tokens} tokens in ${at.toFixed(1)} ms${done ? ", done" : ""}`;
        running ||= !done;
      }
      if (running && !signal.aborted) requestAnimationFrame(play);
      else {
        for (const { cursor } of shown) cursor.remove();
        resolve();
      }
    };
    play();
  });
}
