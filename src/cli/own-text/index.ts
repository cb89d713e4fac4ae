/** Documents that a model writes itself, to train and to calibrate on. */
export { ownDocuments, ownSeed } from "./own-documents.js";
export { writePrompts } from "./write-prompts.js";
