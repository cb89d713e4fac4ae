/**
 * A Hugging Face model folder, wherever it is: on a disk (early-exits/node), dropped on a page or behind a URL
 * (early-exits/browser). It holds config.json, model.safetensors or the shards that model.safetensors.index.json lists,
 * and possibly tokenizer.json with tokenizer_config.json. Tensors are read piece by piece, so a file of any size costs
 * no more memory than the piece.
 */
import { type Budgets, budgetsWith, overBudget, requireBudget } from "../../budgets.js";
import { EarlyExitError, ModelError } from "../../errors.js";
import { requireKnown } from "../../known.js";
import {
  parseSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsHeaderLength,
} from "../../tensor/formats/header.js";
import type { TensorSource } from "../checkpoint.js";
import { ConfigReader } from "../config-reader.js";
import type { Model } from "../model.js";
import { huggingFaceTokenizer, type TokenizerOptions } from "../tokenizer/hugging-face-tokenizer.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { loadModel, loadOptionNames, type LoadModelOptions } from "./load.js";

export interface FolderFile {
  /** For messages. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes [begin, end), in `room` if it can and they fit; fewer only if the file has become shorter. */
  read(begin: number, end: number, room?: Uint8Array): Promise<Uint8Array>;
}

export interface Folder {
  /** For messages. */
  readonly path: string;
  /** Resolves to undefined if there is no such file. `name` is relative, with slashes. */
  open(name: string): Promise<FolderFile | undefined>;
  /** All files in it, also those in folders, for messages; absent where nobody can tell. */
  names?(): Promise<readonly string[]>;
}

export interface BudgetOptions {
  /** Raised limits, for trusted files. @default defaultBudgets */
  readonly budgets?: Partial<Budgets> | undefined;
}

/** Throws a ModelError that names what is missing or does not fit. */
export async function loadFolder(folder: Folder, options: LoadModelOptions): Promise<Model> {
  requireKnown("readModel", options, loadOptionNames);
  const config = await folder.open("config.json");
  if (config === undefined) {
    throw new ModelError(
      "config-missing",
      `${folder.path}: no config.json; ` +
        "expected a Hugging Face model folder (config.json, model.safetensors, tokenizer.json) or a GGUF file; " +
        "models of the package are in node_modules/early-exits/models",
      { folder: folder.path },
    );
  }
  const { budgets } = options;
  return loadModel(await fileJson(config, { budgets }), await folderTensors(folder, { budgets }), {
    ...options,
    tokenizer: options.tokenizer ?? (await folderTokenizer(folder, { budgets })),
    eosTokenIds: [...(options.eosTokenIds ?? []), ...(await generationStops(folder, { budgets }))],
  });
}

/** Stops of generation_config.json, which may name more than config.json, such as the end of a chat's turn. */
async function generationStops(folder: Folder, options: BudgetOptions): Promise<readonly number[]> {
  const file = await folder.open("generation_config.json");
  return file === undefined ? [] : new ConfigReader(await fileJson(file, options), file.path).tokenIds("eos_token_id");
}

/** undefined without tokenizer.json. */
export async function folderTokenizer(folder: Folder, options: TokenizerOptions = {}): Promise<Tokenizer | undefined> {
  const file = await folder.open("tokenizer.json");
  if (file === undefined) return undefined;
  const config = await folder.open("tokenizer_config.json");
  const configJson = config === undefined ? {} : await fileJson(config, options);
  const template = await folder.open("chat_template.jinja"); // takes precedence over the one in tokenizer_config.json
  const chatTemplate = template && (await fileText(template, "configBytes", budgetsWith(options.budgets)));
  return huggingFaceTokenizer(
    await fileJson(file, { ...options, limit: "tokenizerBytes" }),
    chatTemplate === undefined ? configJson : { ...(configJson as object), chat_template: chatTemplate },
    options,
  );
}

/** model.safetensors, or the shards of its index. */
export async function folderTensors(folder: Folder, options: BudgetOptions = {}): Promise<TensorSource> {
  const single = await folder.open("model.safetensors");
  if (single !== undefined) return fileTensors(single, options);
  const indexFile = await folder.open("model.safetensors.index.json");
  if (indexFile === undefined) {
    throw new ModelError(
      "checkpoint-missing",
      `${folder.path}: found neither model.safetensors nor model.safetensors.index.json; ` +
        "convert the checkpoint to safetensors first",
      { folder: folder.path },
    );
  }
  return shardedTensors(folder, await readWeightMap(indexFile, options), indexFile.path, options);
}

/** Header of a safetensors file, whose tensors are not read. */
export async function readHeader(file: FolderFile, { budgets }: BudgetOptions = {}): Promise<SafetensorsHeader> {
  const limit = { largest: budgetsWith(budgets).safetensorsHeaderBytes };
  const length = safetensorsHeaderLength(await file.read(0, Math.min(8, file.size)), file.size, limit);
  return parseSafetensorsHeader(await readExactly(file, 0, 8 + length), file.size, limit);
}

async function fileTensors(file: FolderFile, options: BudgetOptions = {}): Promise<TensorSource> {
  const { path } = file;
  const header = await readHeader(file, options);
  return {
    tensors: header.tensors,
    async read(name, begin = 0, end = Number.MAX_SAFE_INTEGER, room?) {
      const info = header.tensors.get(name);
      if (info === undefined) throw new ModelError("tensor-missing", `${path}: no tensor "${name}"`, { name });
      const bytes = info.end - info.begin;
      const start = header.dataOffset + info.begin;
      return readExactly(file, start + Math.min(begin, bytes), start + Math.min(end, bytes), room);
    },
  };
}

interface FileJsonOptions extends BudgetOptions {
  /** Limit of bytes. @default "configBytes" */
  readonly limit?: "configBytes" | "indexBytes" | "tokenizerBytes";
}

// JSON from others' files. `JSON.parse` builds whatever it is given: two bytes of text can become sixty of memory, and
// lists nested 100,000 deep break whoever walks them. So keys, values and depth are first counted against budgets.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Throws a BudgetError that names the first limit exceeded. Malformed text is left to `JSON.parse`. */
function requireBoundedJson(text: string, where: string, budgets: Budgets): void {
  let keys = 0;
  let values = 0;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA) values++;
    else if (code === COLON) keys++;
    else if ((code | 0x20) === 0x7b) {
      // an opening bracket or brace: they differ by this bit
      values++;
      deepest = Math.max(deepest, ++depth);
    } else if ((code | 0x20) === 0x7d) depth--;
    if (deepest > budgets.jsonDepth) {
      throw overBudget(budgets, "jsonDepth", deepest, `${where}: lists and objects inside each other`);
    }
  }
  requireBudget(budgets, "jsonKeys", keys, `${where}: keys of objects`);
  requireBudget(budgets, "jsonValues", values, `${where}: values in lists and objects`);
}

/** The end of the text if the string is not closed. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Throws a BudgetError for a file too large for its name, and an EarlyExitError `json-malformed`. */
export async function fileJson(
  file: FolderFile,
  { limit = "configBytes", budgets: changes }: FileJsonOptions = {},
): Promise<unknown> {
  const budgets = budgetsWith(changes);
  const text = await fileText(file, limit, budgets);
  requireBoundedJson(text, file.path, budgets);
  return parseJson(text, file.path);
}

async function fileText(file: FolderFile, limit: keyof Budgets, budgets: Budgets): Promise<string> {
  requireBudget(budgets, limit, file.size, `${file.path}: bytes`);
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

/** File of the same folder: no slashes, colons or control characters, and not of dots alone. */
const PLAIN_NAME = /^(?!\.+$)[^/\\:\p{Cc}]+$/u;

/** File names by tensor names. */
type WeightMap = Readonly<Record<string, string>>;

async function readWeightMap(indexFile: FolderFile, options: BudgetOptions): Promise<WeightMap> {
  const index = await fileJson(indexFile, { ...options, limit: "indexBytes" });
  const map = typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : undefined;
  // A name with a colon could be the address of another server in a page.
  const isFileName = (file: unknown): boolean => typeof file === "string" && PLAIN_NAME.test(file);
  if (typeof map !== "object" || map === null || !Object.values(map).every(isFileName)) {
    throw new ModelError(
      "index-malformed",
      `${indexFile.path}: expected "weight_map" from tensor names to file names in the same folder`,
      { indexPath: indexFile.path },
    );
  }
  return map as WeightMap;
}

async function shardedTensors(
  folder: Folder,
  map: WeightMap,
  indexPath: string,
  options: BudgetOptions,
): Promise<TensorSource> {
  const shards = new Map<string, TensorSource>();
  for (const name of new Set(Object.values(map))) {
    const file = await folder.open(name);
    if (file === undefined) {
      throw new ModelError(
        "shard-missing",
        `${indexPath}: it names the shard ${name}, which is not in the folder; download it`,
        { file: name },
      );
    }
    shards.set(name, await fileTensors(file, options));
  }
  const owners = new Map<string, TensorSource>();
  for (const [name, file] of Object.entries(map)) {
    const shard = shards.get(file)!;
    if (!shard.tensors.has(name)) {
      throw new ModelError("index-malformed", `${indexPath}: it says that "${name}" is in ${file}, but it is not`, {
        name,
        file,
      });
    }
    owners.set(name, shard);
  }
  return {
    tensors: new Map([...owners].map(([name, shard]) => [name, shard.tensors.get(name)!])),
    read(name, ...range) {
      const owner = owners.get(name);
      if (owner === undefined) throw new ModelError("tensor-missing", `${indexPath}: no tensor "${name}"`, { name });
      return owner.read(name, ...range);
    },
  };
}

export async function readExactly(
  file: FolderFile,
  begin: number,
  end: number,
  room?: Uint8Array,
): Promise<Uint8Array> {
  const bytes = await file.read(begin, end, room);
  if (bytes.length !== end - begin) {
    throw new ModelError("file-truncated", `${file.path}: it ended while a tensor was being read; was it changed?`, {
      path: file.path,
    });
  }
  return bytes;
}
