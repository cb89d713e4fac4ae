/** Models by path, a Hugging Face folder (model/files/folder.ts) or a GGUF file (model/gguf), or by name (hub). */
import { basename, dirname } from "node:path";
import { hashCheckpoint } from "../model/checkpoint.js";
import { type CheckpointDescription, describeCheckpoint } from "../model/files/describe.js";
import { type BudgetOptions, fileJson, folderTensors, folderTokenizer, loadFolder } from "../model/files/folder.js";
import { checkManifest } from "../model/files/manifest.js";
import { ggufFileTokenizer, loadGguf, type OpenedGguf, openGguf, type OpenSibling } from "../model/gguf/load-gguf.js";
import { isGguf } from "../model/hub/hub-name.js";
import type { FolderFile, LoadModelOptions, Model, TensorSource, Tokenizer } from "../model/index.js";
import { diskFolder, requireFile } from "./disk-folder.js";
import { onDevice } from "../tensor/create-device.js";
import type { Device, DeviceName } from "../tensor/index.js";
import { settleFolder } from "./folder-transaction.js";
import { nodeHost } from "./host.js";
import { type HubOptions, resolveModel, resolveTokenizer } from "./hub/resolve-model.js";

interface ReadModelOptions extends Omit<LoadModelOptions, "device"> {
  /** A device, or the name of one to create; dispose of `model.device` then. @default "auto" */
  readonly device?: Device | DeviceName;
  readonly hub?: HubOptions;
}

async function openGgufFile(path: string, options: BudgetOptions): Promise<OpenedGguf> {
  const { file, openSibling } = await ggufFile(path);
  return openGguf(file, openSibling, options);
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
export async function readModel(
  name: string,
  { hub, device: wish = "auto", ...options }: ReadModelOptions = {},
): Promise<Model> {
  return onDevice(nodeHost, wish, async (device) => {
    const all = { ...options, device };
    const { path } = await resolveModel(name, { ...hub, load: all });
    if (isGguf(path)) {
      const { file, openSibling } = await ggufFile(path);
      return loadGguf(file, all, openSibling);
    }
    await settleFolder(path);
    await checkManifest(diskFolder(path));
    return loadFolder(diskFolder(path), all);
  });
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
  /** Reads all weights for the SHA-256 by which heads and certificates know the model (`Model.hash`). */
  readonly hash: () => Promise<string>;
}

/** Compares a model's tensors with its configuration, and reads its tokenizer. */
export async function describeModel(path: string, options: BudgetOptions = {}): Promise<ModelDescription> {
  const { configJson, source, tokenizer } = isGguf(path)
    ? await openGgufFile(path, options)
    : {
        configJson: await fileJson(await requireFile(diskFolder(path), "config.json"), options),
        source: await folderTensors(diskFolder(path), options),
        tokenizer: () => readTokenizer(path, options),
      };
  const description = describeCheckpoint(configJson, source, options.budgets);
  const hash = (): Promise<string> => hashCheckpoint(source, description.config);
  return { ...description, tokenizer: await tokenizer(), hash };
}

export async function readTensorSource(path: string, options: BudgetOptions = {}): Promise<TensorSource> {
  return isGguf(path) ? (await openGgufFile(path, options)).source : folderTensors(diskFolder(path), options);
}
