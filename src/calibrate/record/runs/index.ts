export { runBatch } from "./run-batch.js";
