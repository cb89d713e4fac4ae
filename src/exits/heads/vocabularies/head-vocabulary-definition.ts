/**
 * What the vocabulary of a head defines: how the vectors h [R, w] that its map makes become logits [R, W], and what the
 * W columns stand for. They are the tokens of the vocabulary (W = V), or fewer columns that stand for all of them: an
 * `OutputSpace` reads either. A vocabulary reads vectors of the model's width, as the model's own unembedding does, or
 * has a matrix of its own that fits the map's.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import type { Matrix, Model, ModelConfig } from "../../../model/index.js";
import type { PackedMatrix, Tensor, WeightDtype } from "../../../tensor/index.js";
import type { ScoreName } from "../score.js";
import type { Teacher } from "../teacher.js";

/** The sizes of a model that a head's costs depend on. */
export type ModelSizes = Pick<ModelConfig, "hiddenSize" | "vocabSize">;

/** Named weights of one head: trainable tensors in training, packed matrices in decoding. */
export type HeadWeights = Readonly<Record<string, Matrix>>;

/** Named weights in training. */
export type HeadTensors = Readonly<Record<string, Tensor>>;

/** A frozen matrix or vector that a head computes with and does not store, because the model determines it. */
export interface Constant {
  readonly value: Matrix;
  /** Ends one use; the last one frees the value. */
  release(): void;
}

/** The size of a preview of the vocabulary. */
export interface PreviewSize {
  /** Rank of the coarse logits. */
  readonly rank: number;
  /** How many tokens, the best by the coarse logits, get exact logits; at least 2. */
  readonly candidates: number;
}

/** A head that is packed for decoding. */
export interface PackedHead {
  readonly model: Model;
  /** Its packed weights, and its constants. */
  readonly weights: HeadWeights;
}

/** The part of a head's shape that its vocabulary interprets. */
export interface VocabularyShape {
  /** Width w of the vectors h that it reads. */
  readonly width: number;
  /** Whether h is in a narrower basis than the model's states (`HeadMapDefinition.basis`). */
  readonly narrow: boolean;
  /** The listed token ids, ascending, if there is a list. */
  readonly shortlist?: readonly number[] | undefined;
  readonly preview?: PreviewSize | undefined;
}

/** What the cost of a vocabulary depends on. */
export interface CostShape {
  readonly width: number;
  /** The number of listed tokens; 0 without a list. */
  readonly listed: number;
  readonly preview?: PreviewSize | undefined;
}

/** The vocabulary of an exit head. Its name is its key in the table (index.ts). */
export interface HeadVocabularyDefinition {
  /** Whether it reads vectors of the model's hidden size only. */
  readonly reads: "hidden" | "any";
  /** Whether its logits are h times all rows of the model's own unembedding, which it does not train. */
  readonly modelRows?: true;
  /** The scores that follow from its logits. */
  readonly scores: readonly ScoreName[];
  /** How many tokens it lists if the user says nothing; absent if it has no list. */
  listed?(sizes: ModelSizes): number;
  /**
   * The size of its preview of `vocabSize` tokens, or of as many as it lists, if the user says nothing; absent if it
   * has none.
   */
  preview?(sizes: ModelSizes): PreviewSize;
  /** Weights that are computed, not trained, and that `derived` replaces when the head is packed. @default none */
  readonly fixed?: readonly string[];
  /** Shapes of its weights by name. */
  weightShapes(model: Model, shape: VocabularyShape): Readonly<Record<string, readonly number[]>>;
  /** Initial trainable weights. With a `basis` [w, C], h approximates basis·n(x). */
  initialWeights(
    model: Model,
    shape: VocabularyShape,
    basis: Tensor | undefined,
    signal?: CancelSignal,
  ): Promise<Record<string, Tensor>>;
  /** The fixed weights for vectors h with this sum of h hᵀ [w, w] over text; absent if it has none. */
  fitted?(
    model: Model,
    shape: VocabularyShape,
    moment: Float64Array,
    signal?: CancelSignal,
  ): Promise<Record<string, Tensor>>;
  /** Frozen values of the model that it computes with, matrices in this dtype. */
  constants?(model: Model, shape: VocabularyShape, dtype: WeightDtype): Promise<Record<string, Constant>>;
  /**
   * Packed matrices that take the place of the fixed weights, made when the head is packed; in this dtype, if the head
   * has one of its own.
   */
  derived?(
    model: Model,
    shape: VocabularyShape,
    weights: HeadTensors,
    dtype: WeightDtype | undefined,
  ): Promise<Record<string, PackedMatrix>>;
  /** Whether a packed head gives h itself in place of logits, for the space to read. @default false */
  readonly vectors?: boolean;
  /** Maps h [R, w] to logits [R, W]. The same code trains (Tensor) and decodes (PackedMatrix). */
  logits(h: Tensor, weights: HeadWeights, model: Model): Tensor;
  /** How the columns of the logits are read. */
  space(
    shape: Pick<VocabularyShape, "shortlist" | "preview">,
    vocabSize: number,
    packed: () => PackedHead,
  ): OutputSpace;
  /** Multiply-adds of one row, with `listed` tokens in the list. */
  multiplyAdds(sizes: ModelSizes, shape: CostShape): number;
  /** Bytes of the model's own weights that one evaluation reads beside the head's. */
  modelBytes(model: Model, shape: Pick<VocabularyShape, "preview">): number;
}

/** What the W columns of a head's logits stand for. */
export interface OutputSpace {
  /** Statistics of all rows over the vocabulary, R·5 numbers in the layout of `rowStats`. */
  readStats(logits: Tensor): Promise<Float32Array>;
  /** Logits of all rows over the vocabulary, R·V numbers; minus infinity for tokens that the head never emits. */
  readLogits(logits: Tensor): Promise<Float32Array>;
  /** Returns -log p(id) per row, in nats: [R]. */
  losses(logits: Tensor, ids: readonly number[]): Tensor;
  /** The teacher's distribution and choices over this space; the teacher itself if the space is the vocabulary. */
  targetOf(teacher: Teacher): Promise<Teacher>;
  /** Whether a head with its largest logit in `column` emits the token that is the teacher's choice `target`. */
  agrees(column: number, target: number): boolean;
}
