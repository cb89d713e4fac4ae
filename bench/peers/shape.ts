/**
 * What is measured: the shape of the model, the texts, and the protocol, in one place, so that every peer runs the same
 * and the report can print it. The shape is GPT-2's, with 23 M weights in the products of one token (92 MB in float32).
 * Legend: C hidden size, F feed-forward size, H heads, D head size, V vocabulary, L blocks, T time.
 */
import { createRng } from "early-exits/tensor";

export const shape = {
  hiddenSize: 512,
  numLayers: 6,
  numHeads: 8,
  headDim: 64,
  intermediateSize: 2048,
  vocabSize: 8192,
  contextSize: 512,
  normEpsilon: 1e-5,
} as const;

/** float32 bytes of the weights that one decoded token reads once: four products per block and the unembedding. */
export const bytesPerToken =
  4 *
  (shape.numLayers * (4 * shape.hiddenSize ** 2 + 2 * shape.hiddenSize * shape.intermediateSize) +
    shape.vocabSize * shape.hiddenSize);

export interface Protocol {
  /** Seed of weights, texts and the training batch. */
  readonly seed: number;
  readonly promptTokens: number;
  /** Greedy tokens after the prompt, timed together. */
  readonly decodeTokens: number;
  /** Tokens given (not chosen) after the prompt when logits are compared. */
  readonly checkTokens: number;
  /** Rounds over all peers; a peer gets a fresh process in every round. */
  readonly rounds: number;
  /** Timed passes (prefill, then decode) in one process, after the untimed ones. */
  readonly passes: number;
  readonly warmups: number;
  /** Training steps timed in one process, after the untimed ones. */
  readonly steps: number;
}

export const defaultProtocol: Protocol = {
  seed: 1,
  promptTokens: 128,
  decodeTokens: 64,
  checkTokens: 8,
  rounds: 5,
  passes: 3,
  warmups: 2,
  steps: 20,
};

/** The training step: a head 512 -> 8192 learns a teacher's distribution (KL) with Adam, batch 64. */
export const training = { batch: 64, learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** The prompt and the tokens that follow it in the check. */
export function textOf({ seed, promptTokens, checkTokens }: Protocol): { prompt: number[]; following: number[] } {
  const rng = createRng(seed).fork("text");
  const ids = Array.from({ length: promptTokens + checkTokens }, () => rng.integer(shape.vocabSize));
  return { prompt: ids.slice(0, promptTokens), following: ids.slice(promptTokens) };
}
