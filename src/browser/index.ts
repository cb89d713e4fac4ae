/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */

// Devices
export { createDevice } from "./host.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads and policies
export { droppedFiles, type FileMap, readHeads, readModel, readPolicy } from "./read.js";
