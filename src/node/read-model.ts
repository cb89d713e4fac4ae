/**
 * A Hugging Face model folder on disk: config.json, *.safetensors and, where present, tokenizer.json
 * with tokenizer_config.json.
 */
import { join } from "node:path";
import { ModelError } from "../errors.js";
import { loadModel, type LoadModelOptions, type Model } from "../model/model.js";
import { huggingFaceTokenizer, type Tokenizer } from "../model/tokenizer.js";
import { fileExists, readJson } from "./files.js";
import { folderSource } from "./file-source.js";

export type ReadModelOptions = LoadModelOptions;

/** Loads a model folder onto a device. Throws a ModelError naming what is missing or does not fit. */
export async function readModel(folder: string, options: ReadModelOptions): Promise<Model> {
  const configPath = join(folder, "config.json");
  if (!(await fileExists(configPath))) throw new ModelError("config-missing", `${folder}: no config.json; expected a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)`, { folder });
  return loadModel(await readJson(configPath), await folderSource(folder), { ...options, tokenizer: options.tokenizer ?? (await readTokenizer(folder)) });
}

/** The folder's tokenizer; undefined where there is no tokenizer.json. */
export async function readTokenizer(folder: string): Promise<Tokenizer | undefined> {
  const path = join(folder, "tokenizer.json");
  if (!(await fileExists(path))) return undefined;
  const configPath = join(folder, "tokenizer_config.json");
  return huggingFaceTokenizer(await readJson(path), (await fileExists(configPath)) ? await readJson(configPath) : {});
}
