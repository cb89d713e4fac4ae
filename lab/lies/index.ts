/** Lies that the verifier must notice. */
export { realityLie, realityLies } from "./reality-lies.js";
export { storedLie, storedLies } from "./stored-lies.js";
export { largestCertificate, largestKinds } from "./largest.js";
