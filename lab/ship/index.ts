/** The corpus, the models in models/, and what is written beside the one that ships. */
export { modelCard, type ShippedLevel } from "./card.js";
export { certifyLevels, writeCertificates } from "./certify-levels.js";
export { CHOICE_SEGMENTS } from "./choices.js";
export { loadSotu, SOURCE, splitCorpus } from "./corpus.js";
export {
  documentsOf,
  levels,
  modelFolder,
  openHeads,
  openModel,
  type Parts,
  readDocuments,
  shippedCertificate,
} from "./embedded.js";
export {
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  type PretrainReport,
  type PretrainSettings,
  pretrainText,
  type PretrainText,
} from "./pretrain-folder.js";
export { sampleSegments, segmentTexts, SPLIT_SEED } from "./segments.js";
export { type ShipData, shipFolder } from "./ship-folder.js";
export { type Segment, shippingTexts } from "./texts.js";
