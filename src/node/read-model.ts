/** Models by path, a Hugging Face folder (model/files/folder.ts) or a GGUF file (model/gguf), or by name (hub). */
import { type BudgetOptions, folderTokenizer, loadFolder } from "../model/files/folder.js";
import { checkManifest } from "../model/files/manifest.js";
import { ggufFileTokenizer, loadGguf } from "../model/gguf/load-gguf.js";
import type { LoadModelOptions, Model, Tokenizer } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { settleFolder } from "./folder-transaction.js";
import { ggufFile, isGguf } from "./gguf-file.js";
import { type HubOptions, resolveModel, resolveTokenizer } from "./hub/resolve-model.js";

export interface ReadModelOptions extends LoadModelOptions {
  readonly hub?: HubOptions;
}

/**
 * Loads a model folder, a GGUF file (the first one if split), or a name of the Hub (see `resolveModel`). Throws a
 * ModelError, a GgufError or a HubError that names what is missing or does not fit.
 */
export async function readModel(name: string, { hub, ...options }: ReadModelOptions): Promise<Model> {
  const { path } = await resolveModel(name, hub);
  if (!isGguf(path)) {
    await settleFolder(path);
    await checkManifest(diskFolder(path));
    return loadFolder(diskFolder(path), options);
  }
  const { file, openSibling } = await ggufFile(path);
  return loadGguf(file, options, openSibling);
}

export interface ReadTokenizerOptions extends BudgetOptions {
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
