/**
 * What the map of a head defines: how states x [R, C] at a depth become the vectors h [R, w] that a vocabulary turns
 * into logits. A map contains the head's norm. It begins as the logit lens (nostalgebraist 2020), which reads a state
 * as if it were the last one: h begins as the model's own final norm of x, or as an approximation of it.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import type { Model } from "../../../model/index.js";
import type { Rng, Tensor } from "../../../tensor/index.js";
import type { Constant, HeadWeights, ModelSizes } from "../vocabularies/index.js";

/** The part of a head's shape that its map interprets. */
export interface MapShape {
  /** Inner size: r of lowRank, m of mlp; 0 for the others. */
  readonly inner: number;
  /** What the vocabulary reads: vectors of the hidden size only, or of any width. */
  readonly reads: "hidden" | "any";
}

/** The map of an exit head. Its name is its key in the table (index.ts). */
export interface HeadMapDefinition {
  /** The inner size of a head for which the user gives none. */
  defaultInner(sizes: ModelSizes): number;
  /** Width w of h. */
  width(sizes: ModelSizes, shape: MapShape): number;
  /** Shapes of all its weights by name, the norm's included. */
  weightShapes(model: Model, shape: MapShape): Readonly<Record<string, readonly number[]>>;
  /** Initial trainable weights. */
  initialWeights(model: Model, shape: MapShape, rng: Rng, signal?: CancelSignal): Promise<Record<string, Tensor>>;
  /** Frozen values that it computes with. */
  constants?(model: Model): Promise<Record<string, Constant>>;
  /** Maps x [R, C] to h [R, w]. The same code trains (Tensor) and decodes (PackedMatrix). */
  apply(x: Tensor, weights: HeadWeights, model: Model): Tensor;
  /** The rows [w, C] in whose basis the fresh map gives n(x), if h is narrower than the states; else undefined. */
  basis?(weights: Readonly<Record<string, Tensor>>, shape: MapShape): Tensor | undefined;
  /** The weights that a least-squares fit to the final state gives; absent if the map has no closed form. */
  fitted?(model: Model, fit: StateFit): Record<string, Tensor>;
  /** Multiply-adds of one row. */
  multiplyAdds(sizes: ModelSizes, shape: MapShape): number;
}

/** The affine map of normalised states to the normalised final state, both without gain: y ≈ W·x + b. */
export interface StateFit {
  /** [C, C]. */
  readonly weight: Float32Array;
  /** [C]. */
  readonly bias: Float32Array;
}
