/**
 * Decoders choose tokens for one or several sequences at once. The plain one is here, and runs every block for every
 * token; the early-exit one (exits/decode) may stop sooner, the lossless one (exits/draft) returns several tokens at
 * once.
 */
import { concatRows } from "../../tensor/ops/select.js";
import { createRng, type Rng, scope, type Tensor } from "../../tensor/index.js";
import { advance, pendingAt } from "../advance.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
import { finalLogits, type OnLogits } from "./final-logits.js";
import { nonFiniteError } from "./non-finite.js";
import { checkSampling, isPlainGreedy, processedDistribution, sampleFrom, type SamplingOptions } from "./sampling.js";
import type { Sequence } from "../sequence.js";

export interface Choice {
  readonly id: number;
  /** Blocks run to choose it, 1..L; 0 if none was. */
  readonly depth: number;
  readonly exit?: number | undefined;
  readonly score?: number | undefined;
  /** The distribution that it was drawn from, after all processors; absent if no other token was possible. */
  readonly distribution?: Float64Array | undefined;
}

export interface Request {
  readonly sequence: Sequence;
  readonly sampler: Sampler;
  /** Tokens that a round may have, at least 1. */
  readonly room: number;
}

/** Tokens that follow the sequence's last position. All but the last have been appended to the sequence. */
export interface Round {
  readonly tokens: readonly Choice[];
  /** Drafted tokens, of which all of `tokens` but the last were accepted. 0 if the decoder drafts none. */
  readonly drafted: number;
}

export interface Decoder {
  /** Hears of the decoder's work; the caller adds the prefill, and where rounds end. */
  readonly meter?: WorkMeter | undefined;
  /** Asynchronous checks and preparations before the first token. */
  prepare?(): Promise<void>;
  /** One round for every request, in order. A sequence gets the tokens it would get alone. */
  next(requests: readonly Request[]): Promise<readonly Round[]>;
}

/** Turns logits into tokens. All randomness of decoding is here, so that tests can enumerate it. */
export interface Sampler {
  /** True if tokens are the argmax of the unprocessed logits, which need not be read back then. */
  readonly greedy: boolean;
  /**
   * Largest logits that a sampled token depends on: at least 2, in top-k sampling. Others may be -Infinity. @default
   * all
   */
  readonly largest?: number | undefined;
  /** Probabilities [V] after all processors, which may be written to `into`; `seen` are the tokens so far. */
  distribution(logits: Float32Array, seen: readonly number[], into?: Float64Array): Float64Array;
  /** Draws an index with probabilities p. */
  draw(p: Float64Array): number;
  chance(probability: number): boolean;
  /** Returns what takes back the draws since then: a round that fails runs again. */
  readonly mark?: () => () => void;
  /** Hears all logits of a token, of the full model or of the exit's head. */
  readonly watch?: (logits: Float32Array) => void;
}

/** Draws depend only on the state of `rng`, which nobody else uses. */
export function createSampler(options: SamplingOptions, rng: Rng): Sampler {
  const checked = checkSampling(options);
  return {
    greedy: isPlainGreedy(checked),
    largest: largestSampled(checked),
    distribution: (logits, seen, into) => processedDistribution(logits, seen, checked, into),
    draw: (p) => sampleFrom(p, rng),
    chance: (probability) => rng.uniform() < probability,
    mark() {
      const state = rng.state();
      return () => (rng = createRng(state));
    },
  };
}

/** A penalty can lift any token above the largest, and softmax without top-k adds all. */
function largestSampled(options: Required<SamplingOptions>): number | undefined {
  return options.topK > 0 && options.repetitionPenalty === 1 ? Math.max(2, options.topK) : undefined;
}

/** undefined: all. */
export function logitsNeeded({ greedy, largest, watch }: Sampler): number | undefined {
  if (watch !== undefined) return undefined;
  return greedy ? 1 : largest;
}

export function plainDecoder(model: Model, meter?: WorkMeter, onLogits?: OnLogits): Decoder {
  const { numLayers, vocabSize } = model.config;
  let scratch: Float64Array | undefined;
  const draw = (sampler: Sampler, logits: Float32Array, seen: readonly number[]): number =>
    sampler.draw(sampler.distribution(logits, seen, (scratch ??= new Float64Array(vocabSize))));
  return {
    meter,
    async next(requests) {
      advance(model, pendingAt(requests, numLayers), numLayers, meter);
      const needed = requests.map(({ sampler }) => logitsNeeded(sampler));
      const logits = await finalLogits(model, () => lastStates(requests, numLayers), needed, { meter, onLogits });
      if (logits.nonFinite !== undefined) {
        throw await nonFiniteError(model, requests[logits.nonFinite]!.sequence.ids, { what: "the logits" });
      }
      const ids = requests.map(({ sampler, sequence }, r) => {
        sampler.watch?.(logits.row(r));
        return sampler.greedy ? logits.argmax(r) : draw(sampler, logits.row(r), sequence.ids);
      });
      return ids.map((id) => ({ tokens: [{ id, depth: numLayers }], drafted: 0 }));
    },
  };
}

/** States of the last positions after `depth` blocks, where they stopped: [R, C]. */
export function lastStates(requests: readonly Pick<Request, "sequence">[], depth: number): Tensor {
  return scope(() => {
    const states = requests.map(({ sequence }) => sequence.stoppedAt(sequence.length - 1, depth));
    return states.length === 1 ? states[0]! : concatRows(states);
  });
}
