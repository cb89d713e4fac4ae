/**
 * Node entry: devices, files and folders. Everything else is in "early-exits".
 * @module early-exits/node
 */

// Devices
export { createDevice } from "./host.js";
export type { CreateDeviceOptions, DeviceName } from "../tensor/index.js";

// Models, heads, folders
export { describeModel, type ModelDescription, readTensorSource, readModel, readTokenizer } from "./read-model.js";
export { folderStore, readHeads, readPolicy, writeHeads } from "./heads-folder.js";
export { type HubOptions, type ResolvedModel, resolveModel } from "./hub/resolve-model.js";

// Files
export { type PromptLine, readDocuments, readPrompts, readTask } from "./documents.js";
export { fileExists, readBytes, readJson, readText, writeFileAtomic } from "./files.js";

// Defaults, for programs that show them
export { libraryDefaults } from "./library-defaults.js";
