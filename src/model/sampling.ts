/**
 * From logits to the next token. Greedy at temperature 0; otherwise logits pass the processors in this order, the rest is renormalised:
 *   repetition penalty (Keskar et al. 2019: positive logits divided, negative multiplied, for tokens already present), temperature,
 *   topK, topP (nucleus, Holtzman et al. 2020), minP (tokens at least minP times as likely as the best).
 */
import { requireInteger, requireNumber } from "../errors.js";
import type { Rng } from "../tensor/rng.js";

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

/** Checks the options' ranges; throws an OptionError that names the option. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
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
export function processedDistribution(logits: Float32Array, seen: Iterable<number>, options: Required<SamplingOptions>): Float64Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  const z = new Float64Array(logits);
  if (repetitionPenalty !== 1) for (const id of new Set(seen)) z[id] = z[id]! > 0 ? z[id]! / repetitionPenalty : z[id]! * repetitionPenalty;
  const p = new Float64Array(z.length);
  const best = argmaxOf(z);
  if (temperature === 0) {
    p[best] = 1;
    return p;
  }
  const max = z[best]!;
  for (let i = 0; i < p.length; i++) p[i] = Math.exp((z[i]! - max) / temperature);
  if (topK > 0 || topP < 1 || minP > 0) keepLikely(p, best, topK, topP, minP);
  let total = 0;
  for (let i = 0; i < p.length; i++) total += p[i]!;
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
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Zeroes the unlikely tokens of unnormalised p. Of equal probabilities the lower token ids are kept. */
function keepLikely(p: Float64Array, best: number, topK: number, topP: number, minP: number): void {
  const ascending = p.slice().sort(); // values alone: sorting ids by value would take the time of several blocks of a small model
  const n = p.length;
  let kept = topK > 0 ? Math.min(topK, n) : n;
  if (topP < 1) {
    let [total, mass, needed] = [0, 0, 0];
    for (let rank = 1; rank <= kept; rank++) total += ascending[n - rank]!;
    while (needed < kept && mass < topP * total) mass += ascending[n - ++needed]!;
    kept = Math.max(1, needed);
  }
  const least = ascending[n - kept]!;
  let above = 0;
  while (above < kept && ascending[n - 1 - above]! > least) above++;
  let ties = kept - above; // how many of those that are exactly `least` stay
  const floor = minP * p[best]!;
  for (let id = 0; id < n; id++) {
    const stays = p[id]! > least || (p[id]! === least && ties-- > 0);
    if (!stays || p[id]! < floor) p[id] = 0;
  }
}
