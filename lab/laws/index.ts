/** Runs the long statistical laws. */
export { root, runLaw } from "./run-law.js";
