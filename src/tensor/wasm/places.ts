/**
 * At how many places few rows read W in turns (products.as.ts): processors differ, bits do not. Prefetchers take some
 * kilobytes to run ahead at a place, so small matrices are read at fewer; on Zen 5, they take distances between three
 * places for strides and fetch what nobody reads, at half the speed. Every large matrix is read in all ways, one after
 * another, until their times tell which is fastest for its kind: dtype, rows, size.
 */
import { MOST_PLACES } from "./kernels/constants.js";
import type { KernelArguments } from "./kernels/kernels.generated.js";

/** The first where the clock is too coarse to tell. */
const WAYS = [2, 1, 3, MOST_PLACES];
/** Milliseconds, and matrices read in all ways, that decide: a few tokens of a model. */
const ENOUGH = 16;
const FEWEST = 3;
const MOST = 48;
/** Times count in those of a matrix's fastest way, this at most: the thread was suspended, or the engine compiled. */
const LONGEST = 1.5;
/** More than two places must be so much faster: where products take all the time, waste of memory shows little. */
const CLEAR = 1.04;
/** Smaller matrices are read too soon to be timed: at one place if all that the device holds fits the caches. */
const LEAST = 2 ** 18;
const CACHES = 2 ** 24;
/** Two rows to so many are few. */
const FEW_ROWS = 8;

type Product = KernelArguments["linear"];

interface Trial {
  chosen?: number;
  /** [ways], in times of the fastest way of each matrix. */
  readonly spent: number[];
  /** Milliseconds, had all been read in their fastest ways. */
  ms: number;
  /** Matrices that were read in all ways. */
  read: number;
  /** Times of matrices by their address, read some ways so far. */
  readonly times: Map<number, number[]>;
}

export class Places {
  readonly #now: () => number;
  readonly #held: () => number;
  readonly #trials = new Map<number, Trial>();
  /** Of the product that runs. */
  #trial: Trial | undefined;
  #times: number[] = [];
  #first = 0;
  #began = 0;

  /** `held`: bytes on the device. */
  constructor(now: () => number, held: () => number) {
    this.#now = now;
    this.#held = held;
  }

  /** Places at which the product that follows reads W [n, k], at address w; `done` comes after it. */
  next({ kind, w, rows, n, k }: Product): number {
    this.#trial = undefined;
    if (rows > FEW_ROWS) return 1;
    if (n * k < LEAST) return this.#held() < CACHES ? 1 : WAYS[0]!;
    const key = 32 * (kind * (FEW_ROWS + 1) + rows) + Math.clz32(n * k);
    const trial: Trial = this.#trials.get(key) ?? { spent: WAYS.map(() => 0), ms: 0, read: 0, times: new Map() };
    if (trial.chosen !== undefined) return trial.chosen;
    this.#times = trial.times.get(w) ?? [];
    this.#trials.set(key, trial);
    trial.times.set(w, this.#times);
    this.#trial = trial;
    this.#first = w >>> 12; // so that not all matrices begin with one way
    this.#began = this.#now();
    return WAYS[(this.#first + this.#times.length) % WAYS.length]!;
  }

  done(): void {
    const trial = this.#trial;
    if (trial === undefined) return;
    const times = this.#times;
    if (times.push(this.#now() - this.#began) < WAYS.length) return;
    const { spent } = trial;
    const shortest = Math.min(...times);
    trial.ms += WAYS.length * shortest;
    trial.read++;
    if (shortest > 0) {
      times.forEach((ms, i) => (spent[(this.#first + i) % WAYS.length]! += Math.min(ms / shortest, LONGEST)));
    }
    times.length = 0;
    if (trial.read === MOST || (trial.read >= FEWEST && trial.ms > ENOUGH)) {
      const weighed = spent.map((times, i) => (WAYS[i]! > 2 ? CLEAR * times : times));
      trial.chosen = WAYS[weighed.indexOf(Math.min(...weighed))]!;
    }
  }
}
