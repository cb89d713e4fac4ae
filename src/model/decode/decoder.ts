/**
 * Choosing tokens, for one or several sequences at once: what a decoder gets and what it returns. The plain decoder is
 * here, and runs every block for every token; the early-exit decoder (exits/decode) may stop sooner, and the lossless
 * one (exits/draft) returns several tokens at once.
 */
import { argmax, concatRows } from "../../tensor/ops/index.js";
import { type Rng, scope, type Tensor } from "../../tensor/index.js";
import { advance } from "../advance.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
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
  /** Probabilities [V] after all processors; `seen` are the tokens so far. */
  distribution(logits: Float32Array, seen: readonly number[]): Float64Array;
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
    distribution: (logits, seen) => processedDistribution(logits, seen, checked),
    draw: (p) => sampleFrom(p, rng),
    chance: (probability) => rng.uniform() < probability,
  };
}

/** Receives the full model's logits [R, V] of a round before they are freed. */
export type OnLogits = (logits: Tensor) => void;

/** A decoder that runs every block for every token. */
export function plainDecoder(model: Model, meter?: WorkMeter, onLogits?: OnLogits): Decoder {
  const { numLayers } = model.config;
  return {
    meter,
    async next(requests) {
      const work = requests.map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers) }));
      advance(model, work, numLayers, meter);
      const logits = scope(() => model.unembed(lastStates(requests))); // [R, V]
      meter?.unembed(requests.length);
      onLogits?.(logits);
      const ids = await chooseIds(logits, requests);
      logits.dispose();
      return ids.map((id) => ({ tokens: [{ id, depth: numLayers }], drafted: 0 }));
    },
  };
}

/** The states of the sequences' last positions: [R, C]. */
export function lastStates(requests: readonly Pick<Request, "sequence">[]): Tensor {
  const states = requests.map(({ sequence }) => sequence.hidden(sequence.length - 1));
  return states.length === 1 ? states[0]! : concatRows(states);
}

/** Row r of logits [R, V] that were read back. */
export function rowOf(values: Float32Array, r: number, vocabSize: number): Float32Array {
  return values.subarray(r * vocabSize, (r + 1) * vocabSize);
}

async function chooseIds(logits: Tensor, requests: readonly Request[]): Promise<number[]> {
  if (requests.every(({ sampler }) => sampler.greedy)) return argmax(logits);
  const values = await logits.read();
  const vocabSize = logits.shape[1]!;
  return requests.map(({ sampler, sequence }, r) =>
    sampler.draw(sampler.distribution(rowOf(values, r, vocabSize), sequence.ids)),
  );
}
