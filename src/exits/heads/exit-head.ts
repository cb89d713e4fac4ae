/**
 * An exit head turns the states after `depth` blocks into logits. Three kinds:
 *   dense     the paper's head: a norm and an unembedding of its own (dense.ts)
 *   linear    an affine map to where final states lie, then the model's own unembedding or a preview of it (linear.ts)
 *   preview   at depth L: the model's own unembedding, of which only rows that may be best are computed (preview.ts)
 * Legend: R rows, C hidden size, V vocabulary, L blocks.
 */
import type { Model } from "../../model/index.js";
import type { UnitWork } from "../../model/weights.js";
import type { Tensor } from "../../tensor/index.js";
import type { HeadShape } from "./head-shape.js";
import type { HeadWeights, Matrices } from "./head-weights.js";
import type { Projection } from "./projection.js";
import type { Confidence, ScoreName } from "./score.js";
import type { Preview } from "./unembedding-preview.js";

export interface ExitHead {
  readonly model: Model;
  readonly depth: number;
  readonly shape: HeadShape;
  /** Training changes them; decoding packs them on first use. */
  readonly weights: HeadWeights;
  /** Fitted (`fitPreviews`), not trained. */
  readonly preview?: Preview | undefined;
  /** Keys and values of the blocks above, for the fill `project` (`fitProjections`). */
  projection: Projection | undefined;
  readonly scores: readonly ScoreName[];
  /** [R, C] -> [R, C], differentiable: the vectors that go to the unembedding. A dense head has none. */
  vectors?(states: Tensor): Tensor;
  /** [R, C] -> [R, V], differentiable. */
  trainingLogits(states: Tensor): Tensor;
  /** [R, C] -> [R, V], by the packed weights. With a preview: vectors [R, C], which the methods below read. */
  logits(states: Tensor): Promise<Tensor>;
  /** [R] of logits. */
  confidences(logits: Tensor): Promise<Confidence[]>;
  /** R·5 numbers in the layout of `rowStats`. With a preview, log-sum-exp and entropy are NaN. */
  stats(logits: Tensor): Promise<Float32Array>;
  /** R·V numbers, over the whole vocabulary. */
  allLogits(logits: Tensor): Promise<Float32Array>;
  /** -log p(id) in nats per row of logits: [R]. */
  losses(logits: Tensor, ids: readonly number[]): Tensor;
  /** Of one evaluation of one row. */
  readonly work: UnitWork;
  dispose(): void;
}

/** Everything that a head decodes with. */
export async function packedOf({ weights, preview }: ExitHead): Promise<Matrices> {
  return { ...(await weights.packed()), ...(await preview?.packed()) };
}
