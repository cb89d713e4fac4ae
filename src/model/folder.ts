/**
 * A Hugging Face model folder, wherever it is: on a disk (early-exits/node), dropped on a page or behind a URL
 * (early-exits/browser). config.json, model.safetensors or its shards by model.safetensors.index.json and, where
 * present, tokenizer.json with tokenizer_config.json. Only headers of checkpoints are read at first; tensors are read
 * piece by piece, so a file of any size costs no more memory than the piece.
 */
import { EarlyExitError, ModelError } from "../errors.js";
import { parseSafetensorsHeader, safetensorsHeaderLength } from "../tensor/formats/index.js";
import type { TensorSource } from "./checkpoint.js";
import { ConfigReader } from "./config.js";
import { loadModel, type LoadModelOptions, type Model } from "./model.js";
import { huggingFaceTokenizer, type Tokenizer } from "./tokenizer/index.js";

/** A file that can be read piece by piece. */
export interface FolderFile {
  /** For messages. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes [begin, end), fewer only where the file has become shorter. */
  read(begin: number, end: number): Promise<Uint8Array>;
}

/** Files by name. */
export interface Folder {
  /** For messages. */
  readonly path: string;
  /** undefined where there is no such file. `name` is relative, with slashes. */
  open(name: string): Promise<FolderFile | undefined>;
}

/** Loads a model folder onto a device. Throws a ModelError naming what is missing or does not fit. */
export async function loadFolder(folder: Folder, options: LoadModelOptions): Promise<Model> {
  const config = await folder.open("config.json");
  if (config === undefined) {
    throw new ModelError(
      "config-missing",
      `${folder.path}: no config.json; expected a Hugging Face model folder (config.json, model.safetensors, ` +
        "tokenizer.json)",
      { folder: folder.path },
    );
  }
  return loadModel(await fileJson(config), await folderTensors(folder), {
    ...options,
    tokenizer: options.tokenizer ?? (await folderTokenizer(folder)),
    eosTokenIds: [...(options.eosTokenIds ?? []), ...(await generationStops(folder))],
  });
}

/** End-of-text ids of generation_config.json, which ends more than config.json's: often the end of a chat's turn. */
async function generationStops(folder: Folder): Promise<readonly number[]> {
  const file = await folder.open("generation_config.json");
  return file === undefined ? [] : new ConfigReader(await fileJson(file), file.path).tokenIds("eos_token_id");
}

/** The folder's tokenizer; undefined where there is no tokenizer.json. */
export async function folderTokenizer(folder: Folder): Promise<Tokenizer | undefined> {
  const file = await folder.open("tokenizer.json");
  if (file === undefined) return undefined;
  const config = await folder.open("tokenizer_config.json");
  const configJson = config === undefined ? {} : await fileJson(config);
  const template = await folder.open("chat_template.jinja"); // comes before the one of tokenizer_config.json
  if (template === undefined) return huggingFaceTokenizer(await fileJson(file), configJson);
  return huggingFaceTokenizer(await fileJson(file), { ...Object(configJson), chat_template: await fileText(template) });
}

/** The checkpoint of a model folder: model.safetensors, or its shards by index. */
export async function folderTensors(folder: Folder): Promise<TensorSource> {
  const single = await folder.open("model.safetensors");
  if (single !== undefined) return fileTensors(single);
  const indexFile = await folder.open("model.safetensors.index.json");
  if (indexFile === undefined) {
    throw new ModelError(
      "checkpoint-missing",
      `${folder.path}: found neither model.safetensors nor model.safetensors.index.json; convert the ` +
        "checkpoint to safetensors first",
      { folder: folder.path },
    );
  }
  const index = await fileJson(indexFile);
  const map = typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : undefined;
  if (
    typeof map !== "object" ||
    map === null ||
    !Object.values(map).every((file) => typeof file === "string" && /^[^/\\]+$/.test(file))
  ) {
    throw new ModelError(
      "index-malformed",
      `${indexFile.path}: expected "weight_map" from tensor names to file names in the same folder`,
      { indexPath: indexFile.path },
    );
  }
  return shardedTensors(folder, map as Record<string, string>, indexFile.path);
}

/** The tensors of one safetensors file. */
export async function fileTensors(file: FolderFile): Promise<TensorSource> {
  const { path, size } = file;
  const length = safetensorsHeaderLength(await file.read(0, Math.min(8, size)), size);
  const header = parseSafetensorsHeader(await readExactly(file, 0, 8 + length), size);
  return {
    tensors: header.tensors,
    async read(name, begin = 0, end = Number.MAX_SAFE_INTEGER) {
      const info = header.tensors.get(name);
      if (info === undefined) throw new ModelError("tensor-missing", `${path}: no tensor "${name}"`, { name });
      const bytes = info.end - info.begin;
      const start = header.dataOffset + info.begin;
      return readExactly(file, start + Math.min(begin, bytes), start + Math.min(end, bytes));
    },
  };
}

/** Parses a JSON file. Throws an EarlyExitError `json-malformed` that names it. */
export async function fileJson(file: FolderFile): Promise<unknown> {
  return parseJson(await fileText(file), file.path);
}

async function fileText(file: FolderFile): Promise<string> {
  return new TextDecoder("utf-8").decode(await file.read(0, file.size));
}

export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EarlyExitError(
      "json-malformed",
      `${where}: not valid JSON (${(error as Error).message})`,
      { where },
      { cause: error },
    );
  }
}

async function shardedTensors(
  folder: Folder,
  map: Readonly<Record<string, string>>,
  indexPath: string,
): Promise<TensorSource> {
  const shards = new Map<string, TensorSource>();
  for (const name of new Set(Object.values(map))) {
    const file = await folder.open(name);
    if (file === undefined) {
      throw new ModelError(
        "shard-missing",
        `${indexPath}: names the shard ${name}, which is not in the folder; download it`,
        { file: name },
      );
    }
    shards.set(name, await fileTensors(file));
  }
  const owners = new Map<string, TensorSource>();
  for (const [name, file] of Object.entries(map)) {
    const shard = shards.get(file)!;
    if (!shard.tensors.has(name)) {
      throw new ModelError("index-malformed", `${indexPath}: says that "${name}" is in ${file}, where it is not`, {
        name,
        file,
      });
    }
    owners.set(name, shard);
  }
  return {
    tensors: new Map([...owners].map(([name, shard]) => [name, shard.tensors.get(name)!])),
    read(name, begin, end) {
      const owner = owners.get(name);
      if (owner === undefined) throw new ModelError("tensor-missing", `${indexPath}: no tensor "${name}"`, { name });
      return owner.read(name, begin, end);
    },
  };
}

async function readExactly(file: FolderFile, begin: number, end: number): Promise<Uint8Array> {
  const bytes = await file.read(begin, end);
  if (bytes.length !== end - begin) {
    throw new ModelError("file-truncated", `${file.path}: it ended while a tensor was being read; was it changed?`, {
      path: file.path,
    });
  }
  return bytes;
}
