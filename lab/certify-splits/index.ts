/** Certificates on real models, judged on a pool of documents. */
export { certifyRecorded } from "./certify-pool.js";
export { openCorpus } from "./corpus.js";
export { crossCertify } from "./cross-certify.js";
export type { SplitRow } from "./judge-splits.js";
export { percent } from "./percent.js";
