/** Models by path, a Hugging Face folder (model/files/folder.ts) or a GGUF file (model/gguf), or by name (hub). */
import { basename, dirname, join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { type CheckpointDescription, describeCheckpoint } from "../model/files/describe.js";
import { type BudgetOptions, fileJson, folderTensors, folderTokenizer, loadFolder } from "../model/files/folder.js";
import { requireRoom } from "../model/files/memory.js";
import { checkManifest } from "../model/files/manifest.js";
import { ggufFileTokenizer, loadGguf, type OpenedGguf, openGguf, type OpenSibling } from "../model/gguf/load-gguf.js";
import { isGguf } from "../model/hub/hub-name.js";
import { readModelConfig } from "../model/families/families.js";
import type { Folder, FolderFile, LoadModelOptions, Model, TensorSource, Tokenizer } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { readJson } from "./files.js";
import { settleFolder } from "./folder-transaction.js";
import { type HubOptions, resolveInspected, resolveTokenizer } from "./hub/resolve-model.js";

interface ReadModelOptions extends LoadModelOptions {
  readonly hub?: HubOptions;
}

async function openGgufFile(path: string, options: BudgetOptions = {}): Promise<OpenedGguf> {
  const { file, openSibling } = await ggufFile(path);
  return openGguf(file, openSibling, options);
}

/** Throws an EarlyExitError `file-missing` if there is none. */
async function requireFile(folder: Folder, name: string): Promise<FolderFile> {
  const file = await folder.open(name);
  if (file !== undefined) return file;
  const path = join(folder.path, name);
  throw new EarlyExitError("file-missing", `${path}: there is no such file; check the path`, { path });
}

/** Throws an EarlyExitError `file-missing` if there is none. */
async function ggufFile(path: string): Promise<{ readonly file: FolderFile; readonly openSibling: OpenSibling }> {
  const folder = diskFolder(dirname(path));
  return { file: await requireFile(folder, basename(path)), openSibling: (name) => folder.open(name) };
}

/**
 * Loads a model folder, a GGUF file (the first one if split), or a name of the Hub (see `resolveModel`). Throws a
 * ModelError, a GgufError or a HubError that names what is missing or does not fit.
 */
export async function readModel(name: string, { hub, ...options }: ReadModelOptions): Promise<Model> {
  const { path } = await resolveInspected(name, (file) => requireFits(file, options), hub);
  if (!isGguf(path)) {
    await settleFolder(path);
    await checkManifest(diskFolder(path));
    return loadFolder(diskFolder(path), options);
  }
  const { file, openSibling } = await ggufFile(path);
  return loadGguf(file, options, openSibling);
}

/** By config.json, or the head of a GGUF file. */
async function requireFits(file: FolderFile, options: LoadModelOptions): Promise<void> {
  const { configJson, source } = isGguf(file.path)
    ? await openGguf(file, undefined, options)
    : { configJson: await fileJson(file, options), source: undefined };
  requireRoom(readModelConfig(configJson, options), source, options);
}

interface ReadTokenizerOptions extends BudgetOptions {
  readonly hub?: HubOptions;
}

/**
 * Tokenizer of a model folder, a GGUF file or a Hub model, of which only the tokenizer's files are downloaded unless it
 * is a GGUF model; undefined if it has none.
 */
export async function readTokenizer(
  name: string,
  { hub, ...options }: ReadTokenizerOptions = {},
): Promise<Tokenizer | undefined> {
  const { path } = await resolveTokenizer(name, hub);
  if (!isGguf(path)) return folderTokenizer(diskFolder(path), options);
  return ggufFileTokenizer((await ggufFile(path)).file, options);
}

// Model descriptions without weights: configuration, tensors, tokenizer.

export interface ModelDescription extends CheckpointDescription {
  readonly tokenizer: Tokenizer | undefined;
}

/** Compares a model's tensors with its configuration, and reads its tokenizer. */
export async function describeModel(path: string, options: BudgetOptions = {}): Promise<ModelDescription> {
  if (isGguf(path)) {
    const { configJson, source, tokenizer } = await openGgufFile(path, options);
    return { ...describeCheckpoint(configJson, source, options.budgets), tokenizer: await tokenizer() };
  }
  const description = describeCheckpoint(
    await readConfigJson(path, options),
    await folderTensors(diskFolder(path), options),
    options.budgets,
  );
  return { ...description, tokenizer: await readTokenizer(path, options) };
}

async function readConfigJson(folder: string, options: BudgetOptions): Promise<unknown> {
  const file = await diskFolder(folder).open("config.json");
  if (file === undefined) return readJson(join(folder, "config.json")); // says why it cannot be read
  return fileJson(file, options);
}

export async function readTensorSource(path: string, options: BudgetOptions = {}): Promise<TensorSource> {
  return isGguf(path) ? (await openGgufFile(path, options)).source : folderTensors(diskFolder(path), options);
}
