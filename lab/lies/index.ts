/** Lies that the verifier must notice. */
export { realityLie, type RealityLie, realityLies } from "./reality-lies.js";
export { storedLie, type StoredLie, storedLies } from "./stored-lies.js";
