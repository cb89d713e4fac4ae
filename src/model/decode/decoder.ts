/**
 * Choosing tokens, for one or several sequences at once: what a decoder gets and what it returns. The plain decoder is
 * here, and runs every block for every token; the early-exit decoder (exits/decode) may stop sooner, and the lossless
 * one (exits/draft) returns several tokens at once.
 */
import { concatRows } from "../../tensor/ops/select.js";
import type { Rng, Tensor } from "../../tensor/index.js";
import { advance } from "../advance.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
import { finalLogits, type OnLogits } from "./final-logits.js";
import { nonFiniteError } from "./non-finite.js";
import { checkSampling, isPlainGreedy, processedDistribution, sampleFrom, type SamplingOptions } from "./sampling.js";
import type { Sequence } from "../sequence.js";

/** A token, and how it was chosen. */
export interface Choice {
  readonly id: number;
  /** Blocks run to choose it, 1..L; 0 if none was. */
  readonly depth: number;
  readonly exit?: number | undefined;
  readonly score?: number | undefined;
}

/** One sequence that wants tokens. */
export interface Request {
  readonly sequence: Sequence;
  readonly sampler: Sampler;
  /** How many tokens a round may have, at least 1. */
  readonly room: number;
}

/**
 * One or more tokens that follow the sequence's last position. All of them but the last have been appended to the
 * sequence.
 */
export interface Round {
  readonly tokens: readonly Choice[];
  /** How many tokens were drafted; all of `tokens` but the last were accepted. 0 if the decoder drafts none. */
  readonly drafted: number;
}

export interface Decoder {
  /** The decoder reports its work to it; the caller adds the prefill, and where rounds end. */
  readonly meter?: WorkMeter | undefined;
  /** Called once before the first token, for asynchronous checks and preparations. */
  prepare?(): Promise<void>;
  /** One round for every request, in the same order. A sequence gets the tokens that it would get alone. */
  next(requests: readonly Request[]): Promise<readonly Round[]>;
}

/** How one sequence turns logits into tokens. All randomness of decoding is here, so that tests can enumerate it. */
export interface Sampler {
  /** Whether tokens are the argmax of the unprocessed logits, which need not be read back then. */
  readonly greedy: boolean;
  /**
   * How many of the largest logits a token that is not greedy depends on: at least 2, in top-k sampling. The other
   * logits may be -Infinity then. @default all
   */
  readonly largest?: number | undefined;
  /** Probabilities [V] after all processors, which may be written to `into`; `seen` are the tokens so far. */
  distribution(logits: Float32Array, seen: readonly number[], into?: Float64Array): Float64Array;
  /** Draws an index with probabilities p. */
  draw(p: Float64Array): number;
  /** Returns true with this probability. */
  chance(probability: number): boolean;
}

/** Creates a sampler whose draws depend only on the state of `rng`. */
export function createSampler(options: SamplingOptions, rng: Rng): Sampler {
  const checked = checkSampling(options);
  return {
    greedy: isPlainGreedy(checked),
    largest: largestSampled(checked),
    distribution: (logits, seen, into) => processedDistribution(logits, seen, checked, into),
    draw: (p) => sampleFrom(p, rng),
    chance: (probability) => rng.uniform() < probability,
  };
}

/** A penalty can lift any token above the largest, and softmax without top-k adds all. */
function largestSampled(options: Required<SamplingOptions>): number | undefined {
  return options.topK > 0 && options.repetitionPenalty === 1 ? Math.max(2, options.topK) : undefined;
}

/** How many of the largest logits a sampler's next token depends on; undefined means all. */
export function logitsNeeded({ greedy, largest }: Sampler): number | undefined {
  return greedy ? 1 : largest;
}

/** A decoder that runs every block for every token. */
export function plainDecoder(model: Model, meter?: WorkMeter, onLogits?: OnLogits): Decoder {
  const { numLayers, vocabSize } = model.config;
  let scratch: Float64Array | undefined;
  const draw = (sampler: Sampler, logits: Float32Array, seen: readonly number[]): number =>
    sampler.draw(sampler.distribution(logits, seen, (scratch ??= new Float64Array(vocabSize))));
  return {
    meter,
    async next(requests) {
      const work = requests.map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers) }));
      advance(model, work, numLayers, meter);
      const needed = requests.map(({ sampler }) => logitsNeeded(sampler));
      const logits = await finalLogits(model, () => lastStates(requests), needed, { meter, onLogits });
      if (logits.nonFinite !== undefined) {
        throw await nonFiniteError(model, requests[logits.nonFinite]!.sequence.ids, { what: "the logits" });
      }
      const ids = requests.map(({ sampler, sequence }, r) =>
        sampler.greedy ? logits.argmax(r) : draw(sampler, logits.row(r), sequence.ids),
      );
      return ids.map((id) => ({ tokens: [{ id, depth: numLayers }], drafted: 0 }));
    },
  };
}

/** The states of the sequences' last positions: [R, C]. */
export function lastStates(requests: readonly Pick<Request, "sequence">[]): Tensor {
  const states = requests.map(({ sequence }) => sequence.hidden(sequence.length - 1));
  return states.length === 1 ? states[0]! : concatRows(states);
}
