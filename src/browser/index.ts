/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */

// Devices
export { createDevice } from "./host.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads, policies, text
export { droppedFiles, type FileMap, readHeads, readJson, readModel, readPolicy, readText } from "./read.js";
