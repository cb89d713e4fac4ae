/**
 * From logits to the next token. The argmax at temperature 0; otherwise the logits pass these processors in order, and
 * the rest is renormalised:
 *   repetition penalty   logits of tokens already present are divided if positive, multiplied if negative
 *                        (Keskar et al. 2019)
 *   temperature          logits are divided by it
 *   topK                 only the k most likely tokens stay
 *   topP                 only the fewest tokens that sum to topP stay (nucleus, Holtzman et al. 2020)
 *   minP                 only tokens at least minP times as likely as the best stay
 */
import { requireInteger, requireNumber } from "../../errors.js";
import type { Rng } from "../../tensor/index.js";
import { exponential } from "../elementary.js";
import { replaceSmallest } from "../heap.js";

export interface SamplingOptions {
  /** 0 is greedy. @default 0 */
  readonly temperature?: number;
  /** 0 keeps all. @default 0 */
  readonly topK?: number;
  /** @default 1 */
  readonly topP?: number;
  /** @default 0 */
  readonly minP?: number;
  /** Above 1 discourages tokens of prompt and output. @default 1 */
  readonly repetitionPenalty?: number;
}

export const samplingDefaults = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
} as const satisfies Required<SamplingOptions>;

const settingNames = Object.keys(samplingDefaults) as (keyof SamplingOptions)[];

/** Throws an OptionError that names the option. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const named = settingNames.map((name) => [name, options[name] ?? samplingDefaults[name]] as const);
  const settings = Object.fromEntries(named) as unknown as Required<SamplingOptions>;
  requireNumber("sampling: temperature", settings.temperature, 100);
  requireInteger("sampling: topK", settings.topK, 0);
  requireNumber("sampling: topP", settings.topP, 1);
  requireNumber("sampling: minP", settings.minP, 1);
  requireNumber("sampling: repetitionPenalty", settings.repetitionPenalty, 100, { open: true });
  return settings;
}

/**
 * Leaves out settings without effect: at temperature 0, topK, topP and minP keep the argmax. Equal meanings have equal
 * values then.
 */
export function canonicalSampling(options: SamplingOptions = {}): Required<SamplingOptions> {
  const checked = checkSampling(options);
  if (checked.temperature > 0) return checked;
  return { ...samplingDefaults, repetitionPenalty: checked.repetitionPenalty };
}

/** True if both give the same distribution for all logits. */
export function sameSampling(a: SamplingOptions, b: SamplingOptions): boolean {
  const one = canonicalSampling(a);
  const other = canonicalSampling(b);
  return settingNames.every((name) => one[name] === other[name]);
}

/** Names settings that are on: "greedy", "temperature 0.8, topP 0.95". */
export function describeSampling(options: SamplingOptions): string {
  const settings = canonicalSampling(options);
  const named = settingNames.filter((name) => name !== "temperature" && settings[name] !== samplingDefaults[name]);
  const first = settings.temperature === 0 ? "greedy" : `temperature ${settings.temperature}`;
  return [first, ...named.map((name) => `${name} ${settings[name]}`)].join(", ");
}

/** True if tokens are the argmax of the unprocessed logits, which need not be read back then. */
export function isPlainGreedy({ temperature, repetitionPenalty }: Required<SamplingOptions>): boolean {
  return temperature === 0 && repetitionPenalty === 1;
}

/**
 * Probabilities [V] after all processors; one-hot at temperature 0. `seen`: tokens of prompt and output. Written to `p`
 * if given: large arrays are slow to allocate and collect.
 */
export function processedDistribution(
  logits: Float32Array,
  seen: Iterable<number>,
  options: Required<SamplingOptions>,
  p: Float64Array = new Float64Array(logits.length),
): Float64Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  p.set(logits);
  if (repetitionPenalty !== 1) {
    for (const id of new Set(seen)) {
      const logit = p[id]!;
      p[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
  }
  const best = argmaxOf(p);
  if (temperature === 0) {
    p.fill(0);
    p[best] = 1;
    return p;
  }
  const max = p[best]!;
  if (topK > 0 && topK < p.length) {
    const largest = largestOf(p, topK);
    keepLargest(p, idsFrom(p, largest[0]!), largest, -Infinity);
  }
  for (let i = 0; i < p.length; i++) p[i] = exponential((p[i]! - max) / temperature);
  if (topP < 1) keepNucleus(p, topP * sumOf(p));
  if (minP > 0) keepOnly(p, idsFrom(p, minP), 0); // before normalisation the best is 1
  const share = 1 / sumOf(p);
  for (let i = 0; i < p.length; i++) p[i]! *= share;
  return p;
}

/** Probabilities p sum to 1. */
export function sampleFrom(p: Float64Array, rng: Rng): number {
  let left = rng.uniform();
  let last = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue;
    last = i;
    left -= p[i]!;
    if (left < 0) return i;
  }
  return last; // rounding left a remainder
}

/** The lowest on ties. */
export function argmaxOf(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}

function sumOf(p: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += p[i]!;
  return sum;
}

/** Keeps the fewest largest values that sum to `mass`; the largest is 1. */
function keepNucleus(p: Float64Array, mass: number): void {
  // Sorts only values from a bound on, which is lowered further every time, until they sum to enough.
  for (let bound = 1 / 64, step = 1 / 4; ; bound *= step, step /= 2) {
    const ids = idsFrom(p, bound);
    const likely = valuesAt(p, ids);
    if (bound > 0 && sumOf(likely) < mass) continue;
    likely.sort();
    let first = likely.length - 1;
    let sum = likely[first]!;
    while (first > 0 && sum < mass) sum += likely[--first]!;
    keepLargest(p, ids, likely.subarray(first), 0);
    return;
  }
}

/** Ids of values of at least `least`, ascending. */
function idsFrom(values: Float64Array, least: number): number[] {
  const ids: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! >= least) ids.push(i);
  }
  return ids;
}

/**
 * Keeps the largest values (least of them first), which lie at some of `ids`, and replaces all others. Of those equal
 * to the least, the first stay.
 */
function keepLargest(values: Float64Array, ids: readonly number[], largest: Float64Array, others: number): void {
  const least = largest[0]!;
  let ties = largest.filter((value) => value === least).length;
  const kept = ids.filter((id) => values[id]! > least || (values[id] === least && ties-- > 0));
  keepOnly(values, kept, others);
}

function keepOnly(values: Float64Array, ids: readonly number[], others: number): void {
  const kept = valuesAt(values, ids);
  values.fill(others);
  for (let i = 0; i < ids.length; i++) values[ids[i]!] = kept[i]!;
}

function valuesAt(values: Float64Array, ids: readonly number[]): Float64Array {
  const found = new Float64Array(ids.length);
  for (let i = 0; i < ids.length; i++) found[i] = values[ids[i]!]!;
  return found;
}

/** Heap with the smallest of the k largest values at its root. */
function largestOf(values: Float64Array, k: number): Float64Array {
  const heap = values.slice(0, k).sort(); // ascending order is a heap
  for (let i = k; i < values.length; i++) {
    if (values[i]! <= heap[0]!) continue;
    replaceSmallest(heap, values[i]!);
  }
  return heap;
}
