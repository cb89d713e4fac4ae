/** Exit heads: kinds, scores, placement, projections, files. */
export { attachDefaults, attachHeads, type AttachOptions, type UnembeddingPreview } from "./attach-heads.js";
export { deserializeHeads } from "./deserialize-heads.js";
export { ExitHead } from "./exit-head.js";
export { ExitHeads } from "./exit-heads.js";
export {
  defaultKind,
  defaultListed,
  headCost,
  type HeadKind,
  headKinds,
  type HeadPair,
  type HeadShape,
  kindOf,
  pairOf,
} from "./head-shape.js";
export type { HeadDescription, HeadsDescription } from "./heads-description.js";
export { loadHeads } from "./heads-folder.js";
export { type HeadMap, headMaps, type StateFit } from "./maps/index.js";
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
export { type Teacher, topIdsOf } from "./teacher.js";
export {
  type HeadVocabulary,
  headVocabularies,
  type HeadWeights,
  type ModelSizes,
  type PreviewSize,
  readListedRows,
  unembeddingPreviewSize,
} from "./vocabularies/index.js";
