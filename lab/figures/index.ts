/** The figures of docs/, each from a real run. */
export { advanceGrid } from "./advance.js";
export { costs } from "./costs.js";
export { devices } from "./devices.js";
export { documentsNeeded } from "./documents-needed.js";
export { drafting } from "./drafting.js";
export { fillsChart } from "./fills.js";
export { fixedSequence } from "./fixed-sequence.js";
export { gradients } from "./gradients.js";
export { logitLens } from "./logit-lens.js";
export { ownText } from "./own-text.js";
export { scores } from "./scores.js";
export { simulated } from "./simulated.js";
export { training } from "./training.js";
