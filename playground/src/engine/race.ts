/**
 * A race of several ways of writing on one processor. The lanes write some tokens in turn, and are timed. A lane's
 * clock then advances, at each token, by the median time of all its tokens of the same depth, or of all its rounds of
 * as many drafts: one hiccup of the machine decides nothing. Clocks start at the first token: the prompt costs all
 * lanes the same.
 */
import type { Generation } from "early-exits/exits";
import type { LaneResult, Mode, RaceStep } from "./protocol.js";

export interface Lane {
  readonly mode: Mode;
  readonly run: Generation;
  /** Drafts of the round that ended with the last token; undefined if none did. */
  readonly takeRound?: () => number | undefined;
}

interface RaceOptions {
  /** Lets messages in, such as a cancel. */
  readonly breathe: () => Promise<void>;
  readonly now?: () => number;
}

/** Tokens of a lane in a turn: most of them find the processor's caches as this lane left them. */
const STRETCH = 8;

/** A token, the milliseconds that it took, and what ran for it. */
interface Timed {
  readonly token: RaceStep["token"];
  readonly took: number;
  readonly work: string;
}

/** Runs all lanes to their ends. Throws what a lane throws, and ends the others then. */
export async function race(lanes: readonly Lane[], { breathe, now = () => performance.now() }: RaceOptions) {
  const runners = lanes.map((lane) => ({ ...lane, tokens: lane.run[Symbol.asyncIterator](), timed: [] as Timed[] }));
  const running = new Set(runners);
  try {
    while (running.size > 0) {
      for (const runner of running) {
        for (let i = 0; i < STRETCH && running.has(runner); i++) {
          const begin = now();
          const next = await runner.tokens.next();
          const took = now() - begin;
          if (next.done === true) running.delete(runner);
          else {
            const { text, depth, exit } = next.value;
            runner.timed.push({ token: { text, depth, exit }, took, work: `${depth} ${runner.takeRound?.() ?? ""}` });
          }
        }
      }
      await breathe();
    }
  } finally {
    for (const { tokens } of running) await tokens.return?.();
  }
  return runners.map(({ mode, run, timed }): LaneResult => ({ mode, text: run.summary.text, steps: stepsOf(timed) }));
}

/** The tokens on a clock of median times. */
function stepsOf([first, ...later]: readonly Timed[]): RaceStep[] {
  if (first === undefined) return [];
  let at = 0;
  const steps = later.map(({ token, work }) => {
    const times = later.flatMap((one) => (one.work === work ? one.took : [])).sort((a, b) => a - b);
    at += times[times.length >> 1]!;
    return { at, token };
  });
  return [{ at: 0, token: first.token }, ...steps];
}
