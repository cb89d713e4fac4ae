/** The study of backbones. */
export { LEVELS, studyBackbone, type StudiedBackbone, type Texts } from "./backbone.js";
export { detailTables } from "./detail.js";
export { type BackboneLosses, backboneLosses, type WholeTexts } from "./losses.js";
export { backboneSpeeds, plainSpeeds } from "./speeds.js";
export { backboneTable, levelTable, losslessTable, type Studied } from "./tables.js";
