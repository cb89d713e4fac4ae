/**
 * Decides, call by call, whether workers help. Threads that look at a word instead of sleeping are fast on free
 * processors and ruinous on busy ones: the caller waits for a worker that the system has suspended, milliseconds for a
 * job of microseconds. So the guard keeps, for every kind of work (kernel and order of magnitude), the time that the
 * caller needs alone, and adds up what the workers have saved: alone - shared. If the recent sum is a loss, the caller
 * works alone for a pause; each further loss doubles the pause, each run of gains halves it. The time alone is measured
 * again now and then.
 */

/** A pause in calls without workers: after a first loss, and the longest. */
const SHORTEST = 64;
const LONGEST = 4096;
/**
 * The sum forgets a call after about this many more: their savings make up for a rare slow call, one time slice of the
 * scheduler (4 ms).
 */
const MEMORY = 256;
/** A loss of this many milliseconds starts a pause. */
const LOSS_MS = 0.5;
/**
 * The sum's value at first and after a pause, so that one lost time slice is not yet a loss. (Such slices are frequent
 * while a program starts and the engine compiles beside it; without credit, one of them ended a trial, and trials grew
 * ever rarer.)
 */
const CREDIT_MS = 4;
/** Calls without a loss that halve the next pause. */
const FORGIVEN = 1024;
/** One call in this many is made alone, to measure the time. */
const SAMPLE = 128;
/** The first calls of a kind are made alone; the fastest counts. */
const FIRST = 2;
const MAGNITUDES = 32;

export class Guard {
  /** Milliseconds alone, per kind, and calls so far. */
  readonly #times: Float64Array;
  readonly #calls: Uint32Array;
  #kind = 0;
  #saved = CREDIT_MS;
  #pause = SHORTEST;
  #pausedFor = 0;
  #calm = 0;

  constructor(kernels: number) {
    this.#times = new Float64Array(kernels * MAGNITUDES).fill(Infinity);
    this.#calls = new Uint32Array(kernels * MAGNITUDES);
  }

  /** Whether workers take part in this call; report its time to `helped` or `alone` next. */
  allows(op: number, us: number): boolean {
    this.#kind = op * MAGNITUDES + Math.min(MAGNITUDES - 1, Math.floor(Math.log2(us)));
    const calls = this.#calls[this.#kind]!++;
    if (this.#pausedFor > 0) {
      this.#pausedFor--;
      return false;
    }
    return calls >= FIRST && calls % SAMPLE !== 0;
  }

  alone(ms: number): void {
    const before = this.#times[this.#kind]!;
    // A single slow call (another process had the processor) moves the estimate by a factor of two at most.
    this.#times[this.#kind] =
      ms < before
        ? this.#calls[this.#kind]! <= FIRST
          ? ms
          : (before + ms) / 2
        : before + Math.min(ms - before, before) / 8;
  }

  helped(ms: number): void {
    const saved = this.#times[this.#kind]! - ms;
    this.#saved += saved - this.#saved / MEMORY;
    if (this.#saved < -LOSS_MS) {
      this.#pausedFor = this.#pause;
      this.#pause = Math.min(LONGEST, 2 * this.#pause);
      this.#saved = CREDIT_MS;
      this.#calm = 0;
    } else if (++this.#calm === FORGIVEN) {
      this.#calm = 0;
      this.#pause = Math.max(SHORTEST, this.#pause / 2);
    }
  }
}
