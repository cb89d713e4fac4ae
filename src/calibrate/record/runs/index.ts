export { runBatch, type RunBatchOptions } from "./run-batch.js";
