/**
 * What a model folder or a GGUF file says of its model before any weight is read: configuration, tensors, tokenizer.
 */
import { join } from "node:path";
import {
  type CheckpointDescription,
  describeCheckpoint,
  fileJson,
  type ModelConfig,
  readModelConfig,
  type TensorSource,
  type Tokenizer,
} from "../model/index.js";
import { diskFolder, folderSource } from "./disk-folder.js";
import { readJson } from "./files.js";
import { isGguf, openGgufFile } from "./gguf-file.js";
import { readTokenizer } from "./read-model.js";

export interface ModelDescription extends CheckpointDescription {
  /** Undefined if there is none. */
  readonly tokenizer: Tokenizer | undefined;
}

/** Compares a model's tensors with its configuration, and reads its tokenizer. */
export async function describeModel(path: string): Promise<ModelDescription> {
  if (isGguf(path)) {
    const { configJson, source, tokenizer } = await openGgufFile(path);
    return { ...describeCheckpoint(configJson, source), tokenizer: await tokenizer() };
  }
  const configJson = await readConfigJson(path);
  return { ...describeCheckpoint(configJson, await folderSource(path)), tokenizer: await readTokenizer(path) };
}

/** A model's configuration. A folder needs no more than its config.json. */
export async function readConfig(path: string): Promise<ModelConfig> {
  const configJson = isGguf(path) ? (await openGgufFile(path)).configJson : await readConfigJson(path);
  return readModelConfig(configJson);
}

async function readConfigJson(folder: string): Promise<unknown> {
  const file = await diskFolder(folder).open("config.json");
  if (file === undefined) return readJson(join(folder, "config.json")); // says why it cannot be read
  return fileJson(file);
}

/** The tensors of a model folder or a GGUF file. */
export async function readTensorSource(path: string): Promise<TensorSource> {
  return isGguf(path) ? (await openGgufFile(path)).source : folderSource(path);
}
