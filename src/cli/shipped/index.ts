/** The model and the exits that come with the package. */
export { modelPath } from "./model-path.js";
export { certificatesFor, findShippedExits, type ShippedExits } from "./shipped-exits.js";
