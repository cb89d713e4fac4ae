/**
 * Turns of the event loop. Everything between two awaits of the core is a microtask, so without them timers, signals,
 * sockets and Ctrl-C would wait until a whole generation or training ends. Long-running loops await `giveTurn` between
 * their parts; every few milliseconds it lets one macrotask pass. The clock is shared, because all loops of a thread
 * share its event loop: nested or interleaved loops do not give more turns than one.
 */
import type { CancelSignal } from "./cancel-signal.js";

/**
 * Milliseconds between turns: a timer of 1 ms then ticks more than 50 times a second. A turn costs about a tenth of a
 * millisecond, with what the event loop does meanwhile.
 */
const TURN_EVERY = 12;

/** Multiply-adds that run between two turns at most where a product is cut: 5 to 20 ms on one thread, by dtype. */
const WORK = 2 ** 29;

/** Work that stops wherever a turn may be given, and ends with a result. */
export type InParts<Result> = Generator<undefined, Result, undefined>;

let lastTurn = -Infinity;

/** Does all of the work now. */
export function atOnce<Result>(work: InParts<Result>): Result {
  let part = work.next();
  while (part.done !== true) part = work.next();
  return part.value;
}

/** Rows to compute between two turns if each takes so many multiply-adds: whole tiles of 8 where that many fit. */
export function rowsPerTurn(multiplyAddsPerRow: number): number {
  const rows = Math.max(1, Math.floor(WORK / multiplyAddsPerRow));
  return rows < 8 ? rows : rows - (rows % 8);
}

/**
 * Gives the event loop a turn if it is due. Throws the signal's reason if it is aborted by then. Returns undefined if
 * no turn is due: the loops of decoding need no promise then.
 */
export function giveTurn(signal?: CancelSignal): Promise<void> | undefined {
  signal?.throwIfAborted();
  return performance.now() - lastTurn < TURN_EVERY ? undefined : takeTurn(signal);
}

/** Does the work, and gives the event loop its turns between the parts. */
export async function inTurns<Result>(work: InParts<Result>, signal?: CancelSignal): Promise<Result> {
  let part = work.next();
  while (part.done !== true) {
    await giveTurn(signal);
    part = work.next();
  }
  return part.value;
}

async function takeTurn(signal?: CancelSignal): Promise<void> {
  await macrotask();
  lastTurn = performance.now();
  signal?.throwIfAborted();
}

/** Ways that platforms offer; a zero timeout would wait at least 4 ms in a page. */
const platform = globalThis as {
  readonly setImmediate?: (callback: () => void) => unknown;
  readonly MessageChannel?: new () => {
    readonly port1: { onmessage: (() => void) | null };
    readonly port2: { postMessage(message: null): void };
  };
};
const waiting: (() => void)[] = [];
let channel: InstanceType<NonNullable<(typeof platform)["MessageChannel"]>> | undefined;

/** Resolves in a later macrotask: after the timers and the input that are due. */
function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    if (platform.setImmediate !== undefined) {
      platform.setImmediate(resolve);
      return;
    }
    if (channel === undefined) {
      channel = new platform.MessageChannel!();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
