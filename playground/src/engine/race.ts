/**
 * A race of several ways of writing on one processor. Each lane has a clock of its own, which runs only while its next
 * token is computed; the lane whose clock is behind goes next. So at every moment the lanes show what each would have
 * written in the same time, had it the processor to itself. Clocks start at the first token: the prompt costs all lanes
 * the same.
 */
import type { Generation } from "early-exits/exits";
import type { LaneResult, Mode, RaceStep } from "./protocol.js";

export interface Lane {
  readonly mode: Mode;
  readonly run: Generation;
}

export interface RaceOptions {
  readonly onStep: (step: RaceStep) => void;
  /** Lets messages in, such as a cancel. */
  readonly breathe: () => Promise<void>;
  readonly now?: () => number;
}

/** Milliseconds of computing after which messages are let in. */
const BREATH = 16;

/** Runs all lanes to their ends. Throws what a lane throws, and ends the others then. */
export async function race(lanes: readonly Lane[], options: RaceOptions): Promise<LaneResult[]> {
  const { onStep, breathe, now = () => performance.now() } = options;
  const runners = lanes.map(({ run }, lane) => ({
    lane,
    tokens: run[Symbol.asyncIterator](),
    count: 0,
    clock: 0,
    done: false,
  }));
  let breathed = now();
  try {
    for (;;) {
      const [runner] = runners.filter(({ done }) => !done).sort((a, b) => a.clock - b.clock || a.count - b.count);
      if (runner === undefined) break;
      const begin = now();
      const next = await runner.tokens.next();
      if (runner.count > 0) runner.clock += now() - begin;
      runner.done = next.done === true;
      if (next.done !== true) {
        runner.count++;
        const { text, depth, exit } = next.value;
        onStep({ lane: runner.lane, at: runner.clock, token: { text, depth, exit } });
      }
      if (now() - breathed < BREATH) continue;
      await breathe();
      breathed = now();
    }
  } finally {
    for (const { tokens, done } of runners) {
      if (!done) await tokens.return?.();
    }
  }
  return runners.map(({ lane, clock }) => {
    const { mode, run } = lanes[lane]!;
    const { text, newTokens } = run.summary;
    return { mode, text, newTokens, milliseconds: clock };
  });
}
