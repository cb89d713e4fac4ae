/**
 * A small seeded generator (xoshiro128** by Blackman and Vigna, 2018, seeded by splitmix32) whose state can be saved.
 * Same seed, same numbers, on every platform. Not for cryptography.
 */

import { requireInteger } from "../errors.js";

export interface Rng {
  /** [0, 1), 32 bits of resolution. */
  uniform(): number;
  integer(bound: number): number;
  /** Box-Muller, one value per call so that the state is the whole story. */
  normal(): number;
  /** Shuffles a copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** An independent generator: the same name and state give the same one, and this one does not advance. */
  fork(name: string): Rng;
  /** Four 32-bit words; `createRng(state)` continues from here. */
  state(): [number, number, number, number];
}

type RngState = readonly [number, number, number, number];

/**
 * Takes an integer below 2^53 in size, or a saved state. Throws an OptionError for another seed, which would be rounded
 * to one that others have too.
 */
export function createRng(seed: number | RngState): Rng {
  if (typeof seed !== "object") requireInteger("seed", seed, Number.MIN_SAFE_INTEGER);
  let [a, b, c, d] = typeof seed === "object" ? seed : expand(seed);

  const next = (): number => {
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const uniform = (): number => next() / 2 ** 32;

  return {
    uniform,
    integer: (bound) => Math.floor(uniform() * bound),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    shuffle(items) {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = Math.floor(uniform() * (i + 1));
        [copy[i], copy[j]] = [copy[j]!, copy[i]!];
      }
      return copy;
    },
    fork: (name) => createRng(expand(hashText(name) ^ a ^ Math.imul(b, 3) ^ Math.imul(c, 5) ^ Math.imul(d, 7))),
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  };
}

/** splitmix32: four well-mixed words from one number. */
function expand(seed: number): RngState {
  // the high half, so that 2³² is not another name of 1
  let word = (Math.trunc(seed) ^ Math.imul(Math.trunc(seed / 2 ** 32), 0x9e3779b9)) | 0;
  const mix = (): number => {
    word = (word + 0x9e3779b9) | 0;
    let mixed = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  return [mix(), mix(), mix(), mix()];
}

/** FNV-1a over UTF-16 code units. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
