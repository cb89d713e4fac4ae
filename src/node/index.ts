/**
 * Node entry: devices, files and folders. Everything else is in "early-exits".
 * @module early-exits/node
 */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";
export type { WasmBuild } from "../tensor/wasm/index.js";
export type { WasmOptions } from "../tensor/wasm/index.js";
export type { AdapterWish } from "../tensor/gpu/index.js";
export type { GpuOptions } from "../tensor/gpu/index.js";
export type { GpuMode } from "../tensor/gpu/index.js";
export { readModel, type ReadModelOptions, readTokenizer } from "./read-model.js";
export { diskFolder, fileSource, folderSource } from "./disk-folder.js";
export { readJson, readText, writeFileAtomic } from "./files.js";
export { folderStore, readHeads, writeHeads } from "./heads-folder.js";
export { readTask } from "./task-file.js";
export { fileExists } from "./files.js";
export { nodeHost } from "./host.js";
