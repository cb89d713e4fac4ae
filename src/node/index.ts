/**
 * Node entry: devices, files and folders. Everything else is in "early-exits".
 * @module early-exits/node
 */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/create-device.js";
export type { WasmBuild } from "../tensor/wasm/module.js";
export type { WasmOptions } from "../tensor/wasm/wasm-device.js";
export type { AdapterWish } from "../tensor/gpu/adapter.js";
export type { GpuOptions } from "../tensor/gpu/gpu-device.js";
export type { GpuMode } from "../tensor/gpu/gpujs.js";
export { readModel, type ReadModelOptions, readTokenizer } from "./read-model.js";
export { diskFolder, fileSource, folderSource } from "./disk-folder.js";
export { readJson, readText, writeFileAtomic } from "./files.js";
export { folderStore, readHeads, writeHeads } from "./heads-folder.js";
export { readTask } from "./task-file.js";
