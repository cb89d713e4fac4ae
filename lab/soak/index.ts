/** Clients of a server, for long runs. */
export { isGenerated, type MemorySample, soak } from "./clients.js";
