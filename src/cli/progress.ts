/**
 * Progress on stderr: one line that redraws on a terminal, a plain line every few seconds elsewhere (and always the
 * last).
 */
import { duration } from "./format.js";
import type { Io } from "./io.js";

const REDRAW_EVERY = 100; // milliseconds
const LINE_EVERY = 4000;
const BAR = 24; // characters

export interface ProgressEvent {
  readonly done: number;
  readonly total: number;
  /** What to say beside the count. */
  readonly text?: string;
  /** Seconds. */
  readonly timeLeft?: number;
}

export interface Progress {
  update(event: ProgressEvent): void;
  /** Ends the line; call it whether or not the work was finished. */
  end(): void;
}

export function createProgress(io: Io, label: string): Progress {
  const started = io.now();
  let shown = -Infinity;
  let latest: ProgressEvent | undefined;
  let pending = false;

  const draw = (event: ProgressEvent): void => {
    const {
      done,
      total,
      text = "",
      timeLeft = done > 0 ? ((io.now() - started) / 1000 / done) * (total - done) : undefined,
    } = event;
    const left = timeLeft !== undefined && done < total ? `, ${duration(timeLeft)} left` : "";
    const line = `${done}/${total}${text === "" ? "" : `  ${text}`}${left}`;
    if (!io.isTTY) io.stderr.write(`${label} ${line}\n`);
    else {
      const filled = Math.round((BAR * done) / Math.max(1, total));
      io.stderr.write(`\r${label} [${"#".repeat(filled)}${".".repeat(BAR - filled)}] ${line}\x1b[K`);
    }
    [shown, pending] = [io.now(), false];
  };

  return {
    update(event) {
      latest = event;
      pending = true;
      if (io.now() - shown >= (io.isTTY ? REDRAW_EVERY : LINE_EVERY)) draw(event);
    },
    end() {
      if (pending && latest) draw(latest);
      if (io.isTTY && latest) io.stderr.write("\n");
    },
  };
}
