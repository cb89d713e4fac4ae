/** A Hugging Face model folder on disk; see model/files/folder.ts. */
import { folderTokenizer, loadFolder, type LoadModelOptions, type Model, type Tokenizer } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";

export type ReadModelOptions = LoadModelOptions;

/** Loads a model folder onto a device. Throws a ModelError that names what is missing or does not fit. */
export async function readModel(folder: string, options: ReadModelOptions): Promise<Model> {
  return loadFolder(diskFolder(folder), options);
}

/** The folder's tokenizer; undefined if there is no tokenizer.json. */
export async function readTokenizer(folder: string): Promise<Tokenizer | undefined> {
  return folderTokenizer(diskFolder(folder));
}
