/**
 * Progress on stderr: one redrawn line on a terminal, a plain line every few seconds elsewhere. The last state always
 * shows, after errors and interrupts too.
 */
import { duration } from "./format.js";
import { breathe, type Io } from "./io.js";

const REDRAW_EVERY = 100; // milliseconds
const LINE_EVERY = 4000;
const BAR = 24; // characters

export interface ProgressEvent {
  readonly done: number;
  readonly total: number;
  readonly text?: string;
  /** Seconds. @default by the rate of the second half of the time taken so far */
  readonly timeLeft?: number;
}

type ShownEvent = Omit<ProgressEvent, "timeLeft"> & { readonly timeLeft: number | undefined };

/** Lets the event loop run after an event: the kernels are synchronous, and signals arrive only here. */
export type ReportProgress = (event: ProgressEvent) => Promise<void>;

/** Ends the line when `work` resolves or rejects. */
export async function withProgress<T>(
  io: Io,
  label: string,
  work: (report: ReportProgress) => Promise<T>,
  { patience = 0 } = {},
): Promise<T> {
  const started = io.now();
  const state: { latest?: ProgressEvent; shown?: ProgressEvent; shownAt: number } = { shownAt: -Infinity };
  const estimate = createEstimate();

  const draw = (event: ProgressEvent): void => {
    io.stderr.write(lineOf(io, label, { timeLeft: estimate.timeLeft(event.total), ...event }));
    state.shown = event;
    state.shownAt = io.now();
  };

  try {
    return await work(async (event) => {
      state.latest = event;
      estimate.add((io.now() - started) / 1000, event.done);
      if (io.now() - started < patience) return;
      const due = io.now() - state.shownAt >= (io.isTTY ? REDRAW_EVERY : LINE_EVERY);
      if (due && (io.isTTY || event.done !== state.shown?.done)) draw(event); // no line twice
      await breathe();
    });
  } finally {
    const { latest, shown } = state;
    const visible = latest !== undefined && (shown !== undefined || io.now() - started >= patience);
    if (visible && latest !== shown) draw(latest);
    if (visible && io.isTTY) io.stderr.write("\n");
  }
}

/** Estimates from fewer seconds, events or a smaller share would be wrong. */
const SETTLED = { seconds: 1, events: 4, share: 0.04 } as const;

/**
 * Estimates by the second half of the time so far: in the first, code is compiled, and batches have finished nothing.
 */
function createEstimate() {
  const points: { readonly seconds: number; readonly done: number }[] = [];
  return {
    add: (seconds: number, done: number) => void points.push({ seconds, done }),
    /** Seconds; undefined while too little is known. */
    timeLeft(total: number): number | undefined {
      const last = points.at(-1);
      if (last === undefined || points.length < SETTLED.events) return undefined;
      if (last.seconds < SETTLED.seconds || last.done < SETTLED.share * total) return undefined;
      const middle = points.findLast(({ seconds }) => seconds <= last.seconds / 2) ?? points[0]!;
      if (last.done <= middle.done) return undefined;
      return ((last.seconds - middle.seconds) / (last.done - middle.done)) * (total - last.done);
    },
  };
}

function lineOf({ isTTY }: Io, label: string, event: ShownEvent): string {
  const { done, total, text = "", timeLeft } = event;
  const left = timeLeft !== undefined && done < total ? `, ${duration(timeLeft)} left` : "";
  const state = `${done}/${total}${text === "" ? "" : `  ${text}`}${left}`;
  if (!isTTY) return `${label} ${state}\n`;
  const filled = Math.round((BAR * done) / Math.max(1, total));
  return `\r${label} [${"#".repeat(filled)}${".".repeat(BAR - filled)}] ${state}\x1b[K`;
}
