/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */

// Devices
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads and policies
export { droppedFiles, type FileMap } from "./folders.js";
export { readHeads, readModel, readPolicy } from "./read.js";
