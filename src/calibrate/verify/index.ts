/** Certificates against their own arithmetic, their model and their text. */
export { type Verdict, type Verification, verifyCertificate } from "./verify.js";
export type { VerifyOptions } from "./against-model.js";
