/** Model descriptions without weights: configuration, tensors, tokenizer. */
import { join } from "node:path";
import { type BudgetOptions, fileJson } from "../model/files/folder.js";
import { type CheckpointDescription, describeCheckpoint } from "../model/files/describe.js";
import type { TensorSource, Tokenizer } from "../model/index.js";
import { diskFolder, folderSource } from "./disk-folder.js";
import { readJson } from "./files.js";
import { isGguf, openGgufFile } from "./gguf-file.js";
import { readTokenizer } from "./read-model.js";

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
    await folderSource(path, options),
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
  return isGguf(path) ? (await openGgufFile(path, options)).source : folderSource(path, options);
}
