/** Browser entry, for pages and workers: devices, and models from files or URLs. Everything else is in "early-exits". */
export { createDevice } from "./create-device.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/create-device.js";
export { droppedFiles, type FileMap, type FilesSource } from "./folders.js";
export { readHeads, readModel, readPolicy } from "./read.js";
