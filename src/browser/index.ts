/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";
export type { WasmBuild } from "../tensor/wasm/index.js";
export type { WasmOptions } from "../tensor/wasm/index.js";
export type { AdapterWish } from "../tensor/gpu/index.js";
export type { GpuOptions } from "../tensor/gpu/index.js";
export type { GpuMode } from "../tensor/gpu/index.js";
export { droppedFiles, type FileMap, type FilesSource } from "./folders.js";
export { readHeads, readModel, readPolicy } from "./read.js";
export { browserHost } from "./host.js";
