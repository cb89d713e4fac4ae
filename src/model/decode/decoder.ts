/**
 * Choosing tokens, for one or several sequences at once: what a decoder is asked and what it answers. The plain decoder
 * here runs every block for every token; the early-exit decoder (exits/decode.ts) may stop sooner, the lossless one
 * (exits/speculate.ts) answers with several tokens at once.
 */
import { argmax, concatRows } from "../../tensor/ops/index.js";
import { type Rng, scope, type Tensor } from "../../tensor/index.js";
import { advance } from "../advance.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
import { checkSampling, isPlainGreedy, processedDistribution, sampleFrom, type SamplingOptions } from "./sampling.js";
import type { Sequence } from "../sequence.js";

/** A token and where it came from. */
export interface Choice {
  readonly id: number;
  /** Blocks run to choose it, 1..L; 0 where no block was. */
  readonly depth: number;
  readonly exit?: number | undefined;
  readonly score?: number | undefined;
}

/** One sequence that wants tokens. */
export interface Request {
  readonly sequence: Sequence;
  readonly sampler: Sampler;
  /** Most tokens of an answer, at least 1. */
  readonly room: number;
}

/**
 * The answer: one or more tokens that follow the sequence's last position. All of them but the last were appended to
 * the sequence.
 */
export interface Round {
  readonly tokens: readonly Choice[];
  /** Tokens that were drafted; those of the answer but the last were accepted. 0 where nothing is drafted. */
  readonly drafted: number;
}

export interface Decoder {
  /** Told of the prefill and of where rounds end, besides what the decoder tells it. */
  readonly meter?: WorkMeter | undefined;
  /** Called once before the first token: for checks and packing that must wait. */
  prepare?(): Promise<void>;
  /** One round for every request, in their order. A sequence gets the tokens that it would get alone. */
  next(requests: readonly Request[]): Promise<readonly Round[]>;
}

/**
 * How one sequence turns logits into tokens. Chance enters decoding here and nowhere else, so that tests may enumerate
 * it.
 */
export interface Sampler {
  /** Whether the choice is the argmax of the unprocessed logits, so that they need not be read back. */
  readonly greedy: boolean;
  /** Probabilities [V] after all processors; `seen` are the tokens before. */
  distribution(logits: Float32Array, seen: readonly number[]): Float64Array;
  /** Draws an index with probabilities p. */
  draw(p: Float64Array): number;
  /** True with this probability. */
  chance(probability: number): boolean;
}

/** A sampler whose draws are a function of the generator's state. */
export function createSampler(options: SamplingOptions, rng: Rng): Sampler {
  const checked = checkSampling(options);
  return {
    greedy: isPlainGreedy(checked),
    distribution: (logits, seen) => processedDistribution(logits, seen, checked),
    draw: (p) => sampleFrom(p, rng),
    chance: (probability) => rng.uniform() < probability,
  };
}

/** Given the full model's logits [R, V] of a round, before they are freed. */
export type OnLogits = (logits: Tensor) => void;

/** Runs every block for every token. */
export function plainDecoder(model: Model, meter?: WorkMeter, onLogits?: OnLogits): Decoder {
  const { numLayers } = model.config;
  return {
    meter,
    async next(requests) {
      advance(
        model,
        requests.map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers) })),
        numLayers,
        meter,
      );
      const logits = scope(() => model.unembed(lastStates(requests))); // [R, V]
      meter?.unembed(requests.length);
      onLogits?.(logits);
      const ids = await chooseIds(logits, requests);
      logits.dispose();
      return ids.map((id) => ({ tokens: [{ id, depth: numLayers }], drafted: 0 }));
    },
  };
}

/** The states of the last positions, under one another: [R, C]. */
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
  return requests.map(({ sampler, sequence }, r) =>
    sampler.draw(sampler.distribution(rowOf(values, r, logits.shape[1]!), sequence.ids)),
  );
}
