/**
 * An exit head turns the states after `depth` blocks into logits. Four kinds:
 *   dense     the paper's head: a norm and an unembedding of its own (dense.ts)
 *   linear    an affine map to where final states lie, then the model's own unembedding or a preview of it (linear.ts)
 *   preview   at depth L: the model's own unembedding, of which only rows that may be best are computed (preview.ts)
 *   ahead     at depth L, beside the exits: guesses the token after the next, as a draft (ahead.ts)
 * Legend: R rows, C hidden size, V vocabulary, L blocks.
 */
import { project } from "../../model/block.js";
import type { Model } from "../../model/index.js";
import { bytesOf, type UnitWork } from "../../model/weights.js";
import { scope, type Tensor, type WeightDtype } from "../../tensor/index.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { headCost, type HeadShape } from "./head-shape.js";
import type { DraftConfidence } from "./heads-description.js";
import { HeadWeights, type Matrices, packMatrices, type Tensors } from "./head-weights.js";
import type { Projection } from "./projection.js";
import { type Confidence, confidencesIn, type LogitsReader, readStats, scoreNames } from "./score.js";
import { Preview } from "./unembedding-preview.js";

export interface ExitHead extends LogitsReader {
  readonly model: Model;
  readonly depth: number;
  readonly shape: HeadShape;
  /** Training changes them; decoding packs them on first use. */
  readonly weights: HeadWeights;
  /** Fitted (`fitPreviews`), not trained. */
  readonly preview?: Preview | undefined;
  /** Keys and values of the blocks above, for the fill `project` (`fitProjections`). */
  projection: Projection | undefined;
  /** How often a look-ahead head's drafts are accepted, by margin, if that was measured (`measureDrafts`). */
  confidence?: readonly DraftConfidence[] | undefined;
  /** [R, C] -> [R, C], differentiable: the vectors that go to the unembedding. A dense head has none. */
  vectors?(states: Tensor): Tensor;
  /** [R, C] -> [R, V], differentiable. */
  trainingLogits(states: Tensor): Tensor;
  /** [R, C] -> [R, V], by the packed weights. With a preview: vectors [R, C]. */
  logits(states: Tensor): Promise<Tensor>;
  /** [R] of logits. */
  confidences(logits: Tensor): Promise<Confidence[]>;
  /** Work of one evaluation of one row. */
  readonly work: UnitWork;
  dispose(): void;
}

const plainReader: LogitsReader = {
  scores: scoreNames,
  stats: readStats,
  allLogits: (logits) => logits.read(),
  losses: crossEntropy,
};

/** A map of states [R, C], by a head's trainable or packed weights. */
type StatesMap = (states: Tensor, weights: Matrices) => Tensor;

/** What each kind has of its own. */
export interface HeadParts {
  /** Weights of a head that begins as the logit lens. */
  readonly fresh: () => Tensors;
  /** To vectors for the model's unembedding, or to logits of the head's own. */
  readonly maps: { readonly vectors: StatesMap } | { readonly logits: StatesMap };
  /** A norm's gain that nothing trains; freed with the head. */
  readonly unit?: Tensor;
  /** Of packed matrices, where the head has none of its own. @default the one that suits the model's */
  readonly dtype?: WeightDtype;
}

/** What all kinds share. Takes ownership of the tensors, those of the preview among them. */
export function headOf(
  { model, depth, shape }: Pick<ExitHead, "model" | "depth" | "shape">,
  { fresh, maps, unit, dtype }: HeadParts,
  { previewDown, previewLift, ...trained }: Tensors = {},
): ExitHead {
  const { unembedding } = model.weights;
  const weights = new HeadWeights(Object.keys(trained).length > 0 ? trained : fresh(), async (tensors) => ({
    ...(await packMatrices(model, tensors, shape.dtype ?? dtype)),
    ...(unit && { unit }),
  }));
  const fitted = previewDown && previewLift && { previewDown, previewLift };
  const preview = shape.preview && new Preview(model, shape.preview, shape.dtype, fitted);
  const vectors = "vectors" in maps ? maps.vectors : undefined;
  const logits: StatesMap = "logits" in maps ? maps.logits : (x, w) => project(maps.vectors(x, w), unembedding);
  const decoded = preview && vectors ? vectors : logits;
  const { scores, stats, allLogits, losses } = preview ?? plainReader;
  return {
    model,
    depth,
    shape,
    weights,
    preview,
    projection: undefined,
    scores,
    ...(vectors && { vectors: (x: Tensor) => vectors(x, weights.tensors) }),
    trainingLogits: (x) => logits(x, weights.tensors),
    async logits(x) {
      const packed = await weights.packed();
      await preview?.packed();
      return scope(() => decoded(x, packed));
    },
    confidences: async (logits) => confidencesIn(await stats(logits)),
    stats,
    allLogits,
    losses,
    get work() {
      const read = preview?.bytes ?? (vectors ? bytesOf(unembedding) : 0);
      return { multiplyAdds: headCost(model.config, shape), bytes: weights.bytes + read };
    },
    dispose() {
      weights.dispose();
      preview?.dispose();
      unit?.dispose();
    },
  };
}
