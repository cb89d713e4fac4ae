/**
 * The names that most programs need, in reading order. Everything else is in the subpaths: "early-exits/tensor",
 * "/model", "/exits", "/calibrate" and "/evaluate". Devices and files are in "early-exits/node" and
 * "early-exits/browser".
 * @module early-exits
 */

// Models
export {
  createModel,
  type Document,
  loadModel,
  logitLens,
  Model,
  type ModelConfig,
  pretrain,
  type PretrainOptions,
  type SamplingOptions,
  splitDocuments,
  type Tokenizer,
} from "./model/index.js";

// Heads and their training
export {
  attachHeads,
  type AttachOptions,
  ExitHeads,
  fitProjections,
  type HeadKind,
  type HeadLoss,
  sampleDocuments,
  serializeHeads,
  trainHeads,
  type TrainOptions,
  type TrainStep,
} from "./exits/index.js";

// Calibration
export {
  calibrate,
  type CalibrateOptions,
  type Certificate,
  type Certified,
  checkCertificate,
  type Verification,
  verifyCertificate,
} from "./calibrate/index.js";
export {
  createPolicy,
  type FillName,
  fillNames,
  type Policy,
  type PolicyOptions,
  type ScoreName,
  scoreNames,
} from "./exits/index.js";

// Generation
export {
  exactFill,
  generate,
  generateBatch,
  type GenerateOptions,
  type GenerateSummary,
  type Generation,
  type LosslessOptions,
} from "./exits/index.js";
export type { GeneratedToken } from "./model/index.js";

// Costs and quality
export {
  type LedgerReport,
  measureUnitTimes,
  planExits,
  type PlanExitsOptions,
  type UnitTimes,
} from "./exits/index.js";
export { evaluate, type Evaluation } from "./evaluate/index.js";

// Devices, errors, version
export type { Backend, Device, WeightDtype } from "./tensor/index.js";
export type { CancelSignal } from "./cancel-signal.js";
export { EarlyExitError, OptionError, requireInteger } from "./errors.js";
export { libraryVersion } from "./version.js";
