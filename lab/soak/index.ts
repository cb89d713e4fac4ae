/** Clients of a server, for long runs. */
export { type Asked, type SoakCounts, type SoakOptions, soak } from "./clients.js";
