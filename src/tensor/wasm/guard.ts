/**
 * Decides, call by call, if workers help. Threads that spin are fast on free processors and ruinous on busy ones: the
 * caller waits milliseconds for a suspended worker. So the guard keeps, for every kind of work (kernel and order of
 * magnitude), the time that the caller needs alone, and adds up what workers have saved: alone - shared. If the recent
 * sum is a loss, the caller works alone for a pause; each further loss doubles the pause, each run of gains halves it.
 * The time alone is measured again now and then.
 *
 * There is a sum of milliseconds for all work, which notices busy processors, and one of shares of the time alone for
 * each kind: where one thread already reads as fast as the memory delivers, a second may cost a little at every call,
 * and that must not keep it away from kinds that gain.
 */

/** Calls without workers: after a first loss, and at most. */
const SHORTEST = 64;
const LONGEST = 4096;
/** Calls after which sums forget: savings make up for a rare slow call, one time slice of the scheduler (4 ms). */
const MEMORY = 256;
/**
 * Below `loss`, in milliseconds, a sum starts a pause; `credit` is its value at first and after one, so that one lost
 * time slice is not yet a loss. (They are frequent while a program starts and the engine compiles: without credit, one
 * ended a trial, and trials grew ever rarer.)
 */
const ALL = { loss: -0.5, credit: 4 } as const;
/** In times alone, of which a call saves or loses one at most. */
const KIND = { loss: 0, credit: 8 } as const;
/** Calls without a loss that halve the next pause. */
const FORGIVEN = 1024;
/** One call in this many is made alone, for its time. */
const SAMPLE = 128;
/** First calls of a kind that are made alone; the fastest counts. */
const FIRST = 2;
const MAGNITUDES = 32;

/** Savings of recent calls, and the pauses after losses. */
class Trial {
  readonly #limits: typeof ALL | typeof KIND;
  #saved: number;
  #pause = SHORTEST;
  #left = 0;
  #calm = 0;

  constructor(limits: typeof ALL | typeof KIND) {
    this.#limits = limits;
    this.#saved = limits.credit;
  }

  pauses(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  add(saved: number): void {
    this.#saved += saved - this.#saved / MEMORY;
    if (this.#saved < this.#limits.loss) {
      this.#left = this.#pause;
      this.#pause = Math.min(LONGEST, 2 * this.#pause);
      this.#saved = this.#limits.credit;
      this.#calm = 0;
    } else if (++this.#calm === FORGIVEN) {
      this.#calm = 0;
      this.#pause = Math.max(SHORTEST, this.#pause / 2);
    }
  }
}

export class Guard {
  /** Per kind, and calls so far. */
  readonly #times: Float64Array;
  readonly #calls: Uint32Array;
  readonly #all = new Trial(ALL);
  readonly #kinds: Trial[];
  #kind = 0;

  constructor(kernels: number) {
    const kinds = kernels * MAGNITUDES;
    this.#times = new Float64Array(kinds).fill(Infinity);
    this.#calls = new Uint32Array(kinds);
    this.#kinds = Array.from({ length: kinds }, () => new Trial(KIND));
  }

  /** True if workers take part; report the call's time to `helped` or `alone` next. */
  allows(op: number, us: number): boolean {
    this.#kind = op * MAGNITUDES + Math.min(MAGNITUDES - 1, Math.floor(Math.log2(us)));
    const calls = this.#calls[this.#kind]!++;
    if (this.#all.pauses() || this.#kinds[this.#kind]!.pauses()) return false;
    return calls >= FIRST && calls % SAMPLE !== 0;
  }

  alone(ms: number): void {
    const before = this.#times[this.#kind]!;
    if (before === 0) {
      this.#times[this.#kind] = ms; // the clock was too coarse
      return;
    }
    // A single slow call moves the estimate by a factor of two at most.
    this.#times[this.#kind] =
      ms < before
        ? this.#calls[this.#kind]! <= FIRST
          ? ms
          : (before + ms) / 2
        : before + Math.min(ms - before, before) / 8;
  }

  helped(ms: number): void {
    const alone = this.#times[this.#kind]!;
    this.#all.add(alone - ms);
    if (alone > 0) this.#kinds[this.#kind]!.add(Math.max(-1, 1 - ms / alone));
  }
}
