/**
 * Node entry: devices, files and folders. Everything else is in "early-exits".
 * @module early-exits/node
 */

// Devices
export { createDevice } from "./create-device.js";
export { nodeHost } from "./host.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads, folders
export { describeModel, type ModelDescription, readConfig, readTensorSource } from "./describe-model.js";
export { diskFolder, fileSource, folderSource } from "./disk-folder.js";
export { folderStore, readHeads, writeHeads, type WriteHeadsOptions } from "./heads-folder.js";
export { type HubOptions, type HubProgress, resolveModel, type ResolvedModel } from "./hub/index.js";
export { readModel, type ReadModelOptions, readTokenizer, type ReadTokenizerOptions } from "./read-model.js";

// Exporting
export { writeExport } from "./export-folder.js";

// Serving
export { type RunningServer, serveDefaults, serveModel, type ServeOptions } from "./serve/index.js";

// Files
export { type DocumentReader, type PromptLine, readDocuments, readPrompts } from "./documents.js";
export { settleFolder, writeFolder } from "./folder-transaction.js";
export { fileExists, readJson, readText, writeFileAtomic } from "./files.js";
export { readTask } from "./task-file.js";
