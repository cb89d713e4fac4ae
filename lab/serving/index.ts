/** What several texts at a time cost. */
export { type ClientRates, readTogether } from "./clients.js";
export { type Compared, compareReBatching, textAlone } from "./compare.js";
export { reBatchings } from "./re-batching.js";
