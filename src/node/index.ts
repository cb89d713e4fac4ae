/** Node entry: devices, files and folders. Everything else is in "early-exits". */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/create-device.js";
export { readModel, type ReadModelOptions, readTokenizer } from "./read-model.js";
export { diskFolder, fileSource, folderSource } from "./disk-folder.js";
export { readJson, readText, writeFileAtomic } from "./files.js";
export { folderStore, readHeads, writeHeads } from "./heads-folder.js";
