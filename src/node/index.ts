/** Node entry: devices, files and folders. Everything else is in "early-exits". */
export { createDevice, type DeviceName } from "./create-device.js";
export { readModel, type ReadModelOptions, readTokenizer } from "./read-model.js";
export { fileSource, folderSource } from "./file-source.js";
export { readJson, readText, writeFileAtomic } from "./files.js";
export { folderStore, readHeads, writeHeads } from "./heads-folder.js";
