/** Models on disk: a Hugging Face folder (see model/files/folder.ts) or a GGUF file (see model/gguf). */
import {
  folderTokenizer,
  ggufFileTokenizer,
  loadFolder,
  loadGguf,
  type LoadModelOptions,
  type Model,
  type Tokenizer,
} from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { ggufFile, isGguf } from "./gguf-file.js";

export type ReadModelOptions = LoadModelOptions;

/**
 * Loads a model folder, or a GGUF file (the first one if the model is split), onto a device. Throws a ModelError or a
 * GgufError that names what is missing or does not fit.
 */
export async function readModel(path: string, options: ReadModelOptions): Promise<Model> {
  if (!isGguf(path)) return loadFolder(diskFolder(path), options);
  const { file, openSibling } = await ggufFile(path);
  return loadGguf(file, options, openSibling);
}

/** The tokenizer of a model folder or a GGUF file; undefined if it has none. */
export async function readTokenizer(path: string): Promise<Tokenizer | undefined> {
  if (!isGguf(path)) return folderTokenizer(diskFolder(path));
  return ggufFileTokenizer((await ggufFile(path)).file);
}
