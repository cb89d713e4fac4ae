/**
 * Log-probabilities from the pass that chooses the token, of the logits before temperature and other processors:
 *   log p_i = z_i - max z - log Σ_j exp(z_j - max z)
 * A token that left at an exit has those of the exit's head.
 */
import { argmaxOf, type Sampler } from "early-exits/model";

export interface LikelyToken {
  readonly id: number;
  readonly logprob: number;
}

export interface TokenLogprobs {
  /** Log-probability of the chosen token. */
  readonly logprob: number;
  /** The most likely tokens, most likely first; ties by id. */
  readonly top: readonly LikelyToken[];
}

/** Sampler that remembers how likely tokens were. */
export interface WatchedSampler extends Sampler {
  /** Log-probability of token `id` in the last pass. */
  logprobsOf(id: number): TokenLogprobs;
}

/** The tokens are the sampler's own. */
export function watchLogprobs(sampler: Sampler, top: number): WatchedSampler {
  let last: Float32Array = new Float32Array(0);
  return {
    ...sampler,
    watch(logits) {
      last = logits;
    },
    logprobsOf(id) {
      const shift = logSumExp(last);
      return {
        logprob: last[id]! - shift,
        top: largest(last, top).map((i) => ({ id: i, logprob: last[i]! - shift })),
      };
    },
  };
}

function logSumExp(logits: Float32Array): number {
  const max = logits[argmaxOf(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  return max + Math.log(sum);
}

/** Indices of the largest values, largest first; the lower index on ties. */
function largest(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (best.length === count && (count === 0 || value <= values[best[count - 1]!]!)) continue;
    let at = best.length;
    while (at > 0 && values[best[at - 1]!]! < value) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}
