/**
 * Progress on stderr: one line that is redrawn on a terminal, a plain line every few seconds elsewhere. The last state
 * is always shown, after an error or an interrupt too.
 */
import { duration } from "./format.js";
import { breathe, type Io } from "./io.js";

const REDRAW_EVERY = 100; // milliseconds
const LINE_EVERY = 4000;
const BAR = 24; // characters

export interface ProgressEvent {
  readonly done: number;
  readonly total: number;
  /** What stands beside the count. */
  readonly text?: string;
  /** Seconds. @default extrapolated from the time taken so far */
  readonly timeLeft?: number;
}

/** Shows an event, then lets the event loop run: the kernels are synchronous, and signals arrive only here. */
export type ReportProgress = (event: ProgressEvent) => Promise<void>;

export interface ProgressOptions {
  /** Nothing is shown of work that takes less, in milliseconds. @default 0 */
  readonly patience?: number;
}

/** Runs `work` under a progress line, which ends when the work resolves or rejects. */
export async function withProgress<T>(
  io: Io,
  label: string,
  work: (report: ReportProgress) => Promise<T>,
  { patience = 0 }: ProgressOptions = {},
): Promise<T> {
  const started = io.now();
  const state: { latest?: ProgressEvent; shown?: ProgressEvent; shownAt: number } = { shownAt: -Infinity };

  const draw = (event: ProgressEvent): void => {
    io.stderr.write(lineOf(io, label, event, (io.now() - started) / 1000));
    state.shown = event;
    state.shownAt = io.now();
  };

  try {
    return await work(async (event) => {
      state.latest = event;
      if (io.now() - started < patience) return;
      if (io.now() - state.shownAt >= (io.isTTY ? REDRAW_EVERY : LINE_EVERY)) draw(event);
      await breathe();
    });
  } finally {
    const { latest, shown } = state;
    const visible = latest !== undefined && (shown !== undefined || io.now() - started >= patience);
    if (visible && latest !== shown) draw(latest);
    if (visible && io.isTTY) io.stderr.write("\n");
  }
}

function lineOf({ isTTY }: Io, label: string, event: ProgressEvent, elapsed: number): string {
  const { done, total, text = "", timeLeft = done > 0 ? (elapsed / done) * (total - done) : undefined } = event;
  const left = timeLeft !== undefined && done < total ? `, ${duration(timeLeft)} left` : "";
  const state = `${done}/${total}${text === "" ? "" : `  ${text}`}${left}`;
  if (!isTTY) return `${label} ${state}\n`;
  const filled = Math.round((BAR * done) / Math.max(1, total));
  return `\r${label} [${"#".repeat(filled)}${".".repeat(BAR - filled)}] ${state}\x1b[K`;
}
