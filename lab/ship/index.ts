/** What makes the model that ships. */
export { CHOICE_SEGMENTS } from "./choices.js";
export { type Document, loadSotu, type Split, splitCorpus } from "./corpus.js";
export { documentsOf, levels, openHeads, openModel, shippedCertificate } from "./embedded.js";
