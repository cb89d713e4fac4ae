/**
 * Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits".
 * @module early-exits/browser
 */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/create-device.js";
export type { WasmBuild } from "../tensor/wasm/module.js";
export type { WasmOptions } from "../tensor/wasm/wasm-device.js";
export type { AdapterWish } from "../tensor/gpu/adapter.js";
export type { GpuOptions } from "../tensor/gpu/gpu-device.js";
export type { GpuMode } from "../tensor/gpu/gpujs.js";
export { droppedFiles, type FileMap, type FilesSource } from "./folders.js";
export { readHeads, readModel, readPolicy } from "./read.js";
