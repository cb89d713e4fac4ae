/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */
export { createDevice } from "./create-device.js";
export type {
  AdapterWish,
  CreateDeviceOptions,
  DeviceName,
  GpuMode,
  GpuOptions,
  WasmBuild,
  WasmOptions,
} from "../tensor/index.js";
export { droppedFiles, type FileMap, type FilesSource } from "./folders.js";
export { readHeads, readModel, readPolicy } from "./read.js";
export { browserHost } from "./host.js";
