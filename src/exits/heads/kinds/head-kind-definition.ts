/**
 * What a kind of exit head defines. A kind maps a normalised state n(x) [R, C] to logits [R, W]; the norm is common to
 * all heads and not part of the kind. The W columns are the tokens of the vocabulary (W = V), or fewer columns that
 * stand for all of them: an `OutputSpace` reads either.
 */
import type { Matrix, Model, ModelConfig } from "../../../model/index.js";
import type { Rng, Tensor } from "../../../tensor/index.js";
import type { Teacher } from "../teacher.js";

/** The part of a head's shape that its kind interprets. */
export interface KindShape {
  /** Inner size: r of lowRank, m of mlp, n of shortlist; 0 for the others. */
  readonly inner: number;
  /** The n token ids of shortlist, ascending. */
  readonly shortlist?: readonly number[];
}

/** The sizes of a model that a head's costs depend on. */
export type ModelSizes = Pick<ModelConfig, "hiddenSize" | "vocabSize">;

/** Named weights of one head: trainable tensors in training, packed matrices in decoding. */
export type HeadWeights = Readonly<Record<string, Matrix>>;

/** One kind of exit head. Its name is its key in the table (index.ts). */
export interface HeadKindDefinition {
  /** The inner size of a head for which the user gives none. */
  defaultInner(sizes: ModelSizes, options?: Partial<KindShape>): number;
  /** The fields of the shape that only this kind has; absent if the inner size is all. */
  readonly extra?: ShapeExtra;
  /** Shapes of the weights, without the norm's. */
  weightShapes(model: Model, shape: KindShape): Readonly<Record<string, readonly number[]>>;
  /** Initial trainable weights, without the norm's: the logit lens or an approximation of it. */
  initialWeights(model: Model, shape: KindShape, rng: Rng): Promise<Record<string, Tensor>>;
  /** Maps n(x) [R, C] to logits [R, W]. The same code trains (Tensor) and decodes (PackedMatrix). */
  logits(normed: Tensor, weights: HeadWeights, model: Model): Tensor;
  /** How the columns of the logits are read. */
  space(shape: KindShape, vocabSize: number): OutputSpace;
  /** Multiply-adds of one row. */
  multiplyAdds(sizes: ModelSizes, inner: number): number;
  /** Bytes of the model's own weights that one evaluation reads beside the head's. */
  modelBytes(model: Model): number;
}

/** Chooses, checks and stores what a kind has beside its inner size. */
export interface ShapeExtra {
  /** The first version of heads.json that can store it. */
  readonly version: 2 | 3;
  /** The fields that the user's options ask for, not yet checked. */
  choose(inner: number, options: Partial<KindShape>): Omit<KindShape, "inner">;
  /** Throws a HeadsError if the fields do not fit the model. */
  check(shape: KindShape, sizes: ModelSizes): Omit<KindShape, "inner">;
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

/** Whether the fields of a shape that was read from JSON have the right types. */
export function isKindShape({ inner, shortlist }: Readonly<Partial<Record<keyof KindShape, unknown>>>): boolean {
  return Number.isInteger(inner) && (inner as number) >= 0 && (shortlist === undefined || Array.isArray(shortlist));
}
