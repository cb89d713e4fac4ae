/**
 * An exit head: it turns the states after `depth` blocks into logits. There are three kinds, a file each:
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
  /** What training changes, and what decoding packs from it on first use. */
  readonly weights: HeadWeights;
  /** The preview of a head that has one: fitted (`fitPreviews`), not trained. */
  readonly preview?: Preview | undefined;
  /** Learned keys and values of the blocks above, for the fill `project`; made by `fitProjections`. */
  projection: Projection | undefined;
  /** The scores that follow from its logits. */
  readonly scores: readonly ScoreName[];
  /** [R, C] -> [R, C], differentiable: the vectors that go to the unembedding. A dense head has none. */
  vectors?(states: Tensor): Tensor;
  /** [R, C] -> [R, V], differentiable. */
  trainingLogits(states: Tensor): Tensor;
  /** [R, C] -> [R, V], by the packed weights. With a preview: the vectors [R, C], of which the methods below read. */
  logits(states: Tensor): Promise<Tensor>;
  /** [R] of logits. */
  confidences(logits: Tensor): Promise<Confidence[]>;
  /** The same as R·5 numbers in the layout of `rowStats`. With a preview, log-sum-exp and entropy are NaN. */
  stats(logits: Tensor): Promise<Float32Array>;
  /** The R·V numbers of logits, over the whole vocabulary. */
  allLogits(logits: Tensor): Promise<Float32Array>;
  /** -log p(id) in nats per row of logits: [R]. */
  losses(logits: Tensor, ids: readonly number[]): Tensor;
  /** What one evaluation of one row takes. */
  readonly work: UnitWork;
  dispose(): void;
}

/** Everything that a head decodes with, by name. */
export async function packedOf({ weights, preview }: ExitHead): Promise<Matrices> {
  return { ...(await weights.packed()), ...(await preview?.packed()) };
}
