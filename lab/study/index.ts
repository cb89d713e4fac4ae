/** The study of backbones. */
export { LEVELS, studyBackbone, type Texts } from "./backbone.js";
export { detailTables } from "./detail.js";
export { backboneLosses, type WholeTexts } from "./losses.js";
export { backboneSpeeds, plainSpeeds } from "./speeds.js";
export { backboneTable, levelTable, losslessTable, type Studied } from "./tables.js";
