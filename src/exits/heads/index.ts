/** Exit heads: kinds, scores, placement, gates, projections, files. */
export { ExitHead } from "./exit-head.js";
export { defaultGateInner, Gate, type GateWeights } from "./gate.js";
export { headCost, type HeadKind, headKinds, type HeadShape } from "./head-kinds.js";
export { loadHeads } from "./heads-folder.js";
export {
  attachDefaults,
  attachHeads,
  type AttachOptions,
  deserializeHeads,
  ExitHeads,
  type HeadDescription,
  type HeadsDescription,
  type SerializedHeads,
  serializeHeads,
} from "./heads.js";
export { placeExits, type Placement } from "./placement.js";
export {
  Projection,
  type ProjectionInput,
  projectionInputs,
  projectionShape,
  skippedLayers,
  unitGain,
} from "./projection.js";
export {
  checkScoreName,
  type Confidence,
  confidenceAt,
  exitFires,
  type ExitOutputs,
  type LogitScore,
  logitScores,
  readConfidences,
  scoreAt,
  scoreDirection,
  type ScoreName,
  scoreNames,
  scoreOf,
  orientScore,
  type Threshold,
} from "./score.js";
export { type Teacher, topIdsOf } from "./targets.js";
