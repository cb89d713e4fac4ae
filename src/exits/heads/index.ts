export { attachDefaults, attachHeads, type AttachOptions } from "./attach-heads.js";
export { createHead } from "./create-head.js";
export { deserializeHeads, loadHeads } from "./deserialize-heads.js";
export { type ExitHead, packedOf } from "./exit-head.js";
export {
  defaultKind,
  headCost,
  type HeadKind,
  type HeadShape,
  type ModelSizes,
  type PreviewShape,
  previewSize,
  usualHeads,
} from "./head-shape.js";
export { ExitHeads } from "./exit-heads.js";
export type { HeadWeights, Matrices, Tensors } from "./head-weights.js";
export type { HeadDescription, HeadsDescription } from "./heads-description.js";
export { mapTensors } from "./linear.js";
export { placeExits, type Placement } from "./placement.js";
export {
  Projection,
  type ProjectionInput,
  projectionInputs,
  projectionShape,
  skippedLayers,
  unitGain,
  withoutGain,
} from "./projection.js";
export {
  checkScoreName,
  type Confidence,
  confidenceAt,
  confidencesIn,
  exitFires,
  orientScore,
  readConfidences,
  readStats,
  scoreAt,
  scoreDirection,
  type ScoreName,
  scoreNames,
  scoreOf,
  type Threshold,
} from "./score.js";
export { type SerializedHeads, serializeHeads } from "./serialize-heads.js";
