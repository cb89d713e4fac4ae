/**
 * From logits to the next token. Greedy at temperature 0; otherwise logits pass the processors in this order, the rest
 * is renormalised:
 *   repetition penalty (Keskar et al. 2019: positive logits divided, negative multiplied, for tokens already present), temperature,
 *   topK, topP (nucleus, Holtzman et al. 2020), minP (tokens at least minP times as likely as the best).
 */
import { requireInteger, requireNumber } from "../../errors.js";
import type { Rng } from "../../tensor/index.js";

export interface SamplingOptions {
  /** 0 is greedy. @default 0 */
  readonly temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. @default 0 */
  readonly topK?: number;
  /** Keep the fewest most likely tokens whose probabilities sum to topP. @default 1 */
  readonly topP?: number;
  /** Keep tokens at least minP times as likely as the most likely. @default 0 */
  readonly minP?: number;
  /** Above 1 discourages tokens that occurred in prompt or output. @default 1 */
  readonly repetitionPenalty?: number;
}

/** What is not given. */
export const samplingDefaults = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
} as const satisfies Required<SamplingOptions>;

/** Checks the options' ranges; throws an OptionError that names the option. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const {
    temperature = samplingDefaults.temperature,
    topK = samplingDefaults.topK,
    topP = samplingDefaults.topP,
    minP = samplingDefaults.minP,
    repetitionPenalty = samplingDefaults.repetitionPenalty,
  } = options;
  requireNumber("sampling: temperature", temperature, 0, 100);
  requireInteger("sampling: topK", topK, 0);
  requireNumber("sampling: topP", topP, 0, 1);
  requireNumber("sampling: minP", minP, 0, 1);
  requireNumber("sampling: repetitionPenalty", repetitionPenalty, 0, 100, { open: true });
  return { temperature, topK, topP, minP, repetitionPenalty };
}

/** Whether the choice is the argmax of the unprocessed logits, so that they need not be read back. */
export function isPlainGreedy({ temperature, repetitionPenalty }: Required<SamplingOptions>): boolean {
  return temperature === 0 && repetitionPenalty === 1;
}

/** Probabilities [V] after all processors; one-hot at temperature 0. `seen` are the tokens of prompt and output. */
export function processedDistribution(
  logits: Float32Array,
  seen: Iterable<number>,
  options: Required<SamplingOptions>,
): Float64Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  const p = new Float64Array(logits); // logits at first; one array, since large ones are slow to come by
  if (repetitionPenalty !== 1) {
    for (const id of new Set(seen)) p[id] = p[id]! > 0 ? p[id]! / repetitionPenalty : p[id]! * repetitionPenalty;
  }
  const best = argmaxOf(p);
  if (temperature === 0) {
    p.fill(0);
    p[best] = 1;
    return p;
  }
  const max = p[best]!;
  if (topK > 0 && topK < p.length) keepLargest(p, topK, kthLargest(p, topK), -Infinity);
  for (let i = 0; i < p.length; i++) p[i] = p[i] === -Infinity ? 0 : Math.exp((p[i]! - max) / temperature);
  if (topP < 1) keepNucleus(p, topP);
  let total = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i]! < minP) p[i] = 0; // the best is 1 before it is normalised
    total += p[i]!;
  }
  for (let i = 0; i < p.length; i++) p[i]! /= total;
  return p;
}

/** Draws an index with probabilities p (which sum to 1). */
export function sampleFrom(p: Float64Array, rng: Rng): number {
  let left = rng.uniform();
  let last = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue;
    last = i;
    left -= p[i]!;
    if (left < 0) return i;
  }
  return last; // rounding left a crumb
}

/** Index of the largest value; the lowest on ties. */
export function argmaxOf(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}

/** Keeps the fewest largest of unnormalised p that sum to `topP` of all, at least one. */
function keepNucleus(p: Float64Array, topP: number): void {
  let total = 0;
  let max = 0;
  let possible = 0;
  for (let i = 0; i < p.length; i++) {
    const value = p[i]!;
    total += value;
    if (value > max) max = value;
    if (value > 0) possible++;
  }
  // The likeliest hold the mass, and only they need sorting: those above a bound, which is lowered until they do.
  for (let bound = max / 16; ; bound /= 256) {
    const above: number[] = [];
    for (let i = 0; i < p.length; i++) {
      if (p[i]! > bound) above.push(p[i]!);
    }
    const likely = Float64Array.from(above).sort();
    let kept = 0;
    let mass = 0;
    while (kept < likely.length && mass < topP * total) mass += likely[likely.length - ++kept]!;
    if (mass < topP * total && likely.length < possible) continue;
    const count = Math.max(1, kept);
    keepLargest(p, count, likely[likely.length - count]!, 0);
    return;
  }
}

/**
 * Replaces all but the `count` largest values by `gone`; the least of those that stay is `least`, and of equal ones the
 * first stay.
 */
function keepLargest(values: Float64Array, count: number, least: number, gone: number): void {
  let ties = count;
  for (let i = 0; i < values.length; i++) {
    if (values[i]! > least) ties--;
  }
  for (let i = 0; i < values.length; i++) {
    if (!(values[i]! > least) && !(values[i] === least && ties-- > 0)) values[i] = gone;
  }
}

/** The k-th largest value, by a heap of the k largest so far, the smallest of them at its root. */
function kthLargest(values: Float64Array, k: number): number {
  const heap = values.slice(0, k).sort(); // ascending order is a heap
  for (let i = k; i < values.length; i++) {
    const value = values[i]!;
    if (value <= heap[0]!) continue;
    let at = 0; // sinks from the root, which goes
    for (let child = 1; child < k; child = 2 * at + 1) {
      if (child + 1 < k && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
  }
  return heap[0]!;
}
