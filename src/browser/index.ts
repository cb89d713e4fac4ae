/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */

// Devices
export { createDevice } from "./create-device.js";
export { browserHost } from "./host.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads and policies
export { droppedFiles, type FileMap, type FilesSource } from "./folders.js";
export { readHeads, readModel, readPolicy, type ReadPolicyOptions } from "./read.js";
