/** What several texts at a time cost. */
export { type ClientRates, readTogether } from "./clients.js";
export { compareReBatching, textAlone } from "./compare.js";
export { reBatchings } from "./re-batching.js";
