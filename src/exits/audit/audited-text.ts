/**
 * One text under audit: the tokens that the policy emitted, each judged by the reference model on the same prefix.
 *   loss of a token = the total variation between what the policy drew from and what the reference would draw from;
 *                     for greedy text 1 if the reference's argmax is another token, else 0
 * The reference reads the text in batches of rows, as a prefill does, which costs far less than to write it. Between
 * batches the policy's distributions of sampled tokens wait in memory, at most BATCH of them.
 */
import { advance, type Model, Sequence } from "../../model/index.js";
import {
  argmaxOf,
  LOSS_UNIT,
  nonFiniteError,
  processedDistribution,
  rowOf,
  type Sampler,
  type SamplingOptions,
  totalVariation,
} from "../../model/decode/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { confidenceAt, readStats } from "../heads/index.js";

/** Tokens that are judged together. */
const BATCH = 32;

/** A token that waits to be judged. */
interface Emitted {
  readonly id: number;
  readonly exit: number | undefined;
  /** What it was drawn from; undefined if it is the argmax of the logits. */
  readonly distribution: Float64Array | undefined;
}

/** Receives the loss of each token, in units of 2^-20, and where it left; undefined for full depth. */
type OnLoss = (loss: number, exit: number | undefined) => void;

export class AuditedText {
  readonly #reference: Model;
  readonly #sampling: Required<SamplingOptions>;
  readonly #sequence: Sequence;
  readonly #onLoss: OnLoss | undefined;
  #waiting: Emitted[] = [];
  /** The last token that was judged: it follows the sequence, but it may not fit the context any more. */
  #latest: number | undefined;
  #drawnFrom: Float64Array | undefined;
  #units = 0;
  #tokens = 0;

  constructor(reference: Model, prompt: readonly number[], sampling: Required<SamplingOptions>, onLoss?: OnLoss) {
    this.#onLoss = onLoss;
    this.#reference = reference;
    this.#sampling = sampling;
    this.#sequence = new Sequence(reference);
    this.#sequence.append(...prompt);
  }

  /** Tokens judged so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** The mean loss of the tokens judged so far, in [0, 1]. */
  get loss(): number {
    return this.#units / LOSS_UNIT / this.#tokens;
  }

  /** The sampler as it is, but what it draws from is remembered until the token is added. */
  watch(sampler: Sampler): Sampler {
    return {
      greedy: sampler.greedy,
      distribution: (logits, seen) => sampler.distribution(logits, seen),
      draw: (p) => {
        this.#drawnFrom = p;
        return sampler.draw(p);
      },
      chance: (probability) => sampler.chance(probability),
    };
  }

  /** Adds the token that the policy emitted last, at an exit or at full depth. */
  async add(id: number, exit?: number): Promise<void> {
    this.#waiting.push({ id, exit, distribution: this.#drawnFrom });
    this.#drawnFrom = undefined;
    if (this.#waiting.length >= BATCH) await this.judge();
  }

  /** Judges the tokens that wait. */
  async judge(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const { numLayers } = this.#reference.config;
    const sequence = this.#sequence;
    if (this.#latest !== undefined) sequence.append(this.#latest);
    const first = sequence.length - 1; // whose next token is the first that waits
    sequence.append(...waiting.slice(0, -1).map(({ id }) => id));
    this.#latest = waiting.at(-1)!.id;
    advance(this.#reference, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
    const logits = scope(() => this.#reference.unembed(sequence.hidden(first, sequence.length))); // [R, V]
    const losses = await this.#lossesOf(logits, waiting, first);
    for (const [i, loss] of losses.entries()) {
      this.#units += loss;
      this.#onLoss?.(loss, waiting[i]!.exit);
    }
    this.#tokens += losses.length;
  }

  dispose(): void {
    this.#sequence.dispose();
  }

  /** The losses against the reference's logits [R, V], which it frees. Throws a NumericsError if one is not finite. */
  async #lossesOf(logits: Tensor, waiting: readonly Emitted[], first: number): Promise<number[]> {
    try {
      const stats = await readStats(logits);
      const broken = waiting.findIndex((_, r) => !Number.isFinite(confidenceAt(stats, r).logSumExp));
      if (broken >= 0) {
        throw await nonFiniteError(this.#reference, this.#sequence.ids.slice(0, first + 1 + broken), {
          what: "the logits of the model to agree with",
          caller: "audit",
        });
      }
      return waiting.every(({ distribution }) => distribution === undefined)
        ? waiting.map(({ id }, r) => (id === confidenceAt(stats, r).argmax ? 0 : LOSS_UNIT))
        : await this.#distances(logits, waiting, first);
    } finally {
      logits.dispose();
    }
  }

  async #distances(logits: Tensor, waiting: readonly Emitted[], first: number): Promise<number[]> {
    const values = await logits.read();
    const { vocabSize } = this.#reference.config;
    const { ids } = this.#sequence;
    return waiting.map(({ id, distribution }, r) => {
      const right = processedDistribution(rowOf(values, r, vocabSize), ids.slice(0, first + 1 + r), this.#sampling);
      if (distribution !== undefined) return totalVariation(right, distribution);
      return argmaxOf(right) === id ? 0 : LOSS_UNIT;
    });
  }
}
