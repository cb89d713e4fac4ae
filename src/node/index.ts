/**
 * Node entry: devices, files and folders. Everything else is in "early-exits".
 * @module early-exits/node
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
export { readModel, type ReadModelOptions, readTokenizer } from "./read-model.js";
export { diskFolder, fileSource, folderSource } from "./disk-folder.js";
export { readJson, readText, writeFileAtomic } from "./files.js";
export { folderStore, readHeads, writeHeads } from "./heads-folder.js";
export { readTask } from "./task-file.js";
export { fileExists } from "./files.js";
export { nodeHost } from "./host.js";
