/**
 * Models from GGUF: one file, or the first of several (`name-00001-of-00003.gguf`). The head is read in growing pieces,
 * tensors piece by piece, so a file of any size costs no more memory than the piece.
 */
import { type Budgets, budgetsWith } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { GgufError } from "../../errors.js";
import { type GgufHeader, parseGgufHeader } from "../../tensor/formats/gguf/header.js";
import type { TensorSource } from "../checkpoint.js";
import type { BudgetOptions, FolderFile } from "../files/folder.js";
import { loadModel, type LoadModelOptions } from "../files/load.js";
import { giveTurn } from "../../turns.js";
import type { Model } from "../model.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { ggufConfig } from "./config.js";
import { GgufMetadata } from "./metadata.js";
import { ggufSource, type PlacedTensor, readVector } from "./tensors.js";
import { ggufTokenizer } from "./tokenizer.js";

/** Most heads are a few megabytes, nearly all vocabulary. */
const FIRST_BYTES = 2 ** 22;

/** Opens a file beside the first by name; undefined where there is none. */
export type OpenSibling = (name: string) => Promise<FolderFile | undefined>;

/** Heads are read, weights are not. */
export interface OpenedGguf {
  readonly configJson: Readonly<Record<string, unknown>>;
  /** Tensors under Hugging Face's names. */
  readonly source: TensorSource;
  /** Resolves to undefined if the file has none. */
  readonly tokenizer: (signal?: CancelSignal) => Promise<Tokenizer | undefined>;
}

/** Reads the heads of all parts. Throws a GgufError or a ModelError. */
export async function openGguf(
  file: FolderFile,
  openSibling: OpenSibling = noSibling,
  { budgets }: BudgetOptions = {},
): Promise<OpenedGguf> {
  const { metadata, tensors } = await readAllParts(file, openSibling, budgetsWith(budgets));
  const config = await ggufConfig(metadata, tensors, (name) => readVector(tensors, name));
  return {
    configJson: config.json,
    source: ggufSource(tensors, config),
    tokenizer: (signal) => ggufTokenizer(metadata, signal),
  };
}

/** Throws a GgufError or a ModelError that says what does not fit. */
export async function loadGguf(
  file: FolderFile,
  options: LoadModelOptions,
  openSibling: OpenSibling = noSibling,
): Promise<Model> {
  const { configJson, source, tokenizer } = await openGguf(file, openSibling, options);
  await giveTurn(options.signal);
  return loadModel(configJson, source, {
    ...options,
    tokenizer: options.tokenizer ?? (await tokenizer(options.signal)),
  });
}

/** undefined if the metadata has none. */
export async function ggufFileTokenizer(file: FolderFile, options: BudgetOptions = {}): Promise<Tokenizer | undefined> {
  const budgets = budgetsWith(options.budgets);
  const { metadata } = await readHeader(file, budgets);
  return ggufTokenizer(new GgufMetadata(metadata, file.path, budgets));
}

const noSibling: OpenSibling = () => Promise.resolve(undefined);

interface GgufParts {
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, PlacedTensor>;
}

async function readAllParts(first: FolderFile, openSibling: OpenSibling, budgets: Budgets): Promise<GgufParts> {
  const header = await readHeader(first, budgets);
  const metadata = new GgufMetadata(header.metadata, first.path, budgets);
  const tensors = new Map<string, PlacedTensor>();
  const add = (file: FolderFile, { tensors: own }: GgufHeader): void => {
    for (const [name, tensor] of own) {
      if (tensors.has(name)) {
        throw new GgufError("gguf-duplicate-tensor", `${file.path}: the tensor "${name}" is in another part too`, {
          name,
        });
      }
      tensors.set(name, { ...tensor, file });
    }
  };
  add(first, header);
  for (const name of otherParts(first.path, metadata.number("split.count", 1)!)) {
    const file = await openSibling(name);
    if (file === undefined) {
      throw new GgufError("gguf-part-missing", `${first.path}: the model's part ${name} is missing; download it`, {
        part: name,
      });
    }
    add(file, await readHeader(file, budgets));
  }
  return { metadata, tensors };
}

/** Names of parts 2 to n. */
function otherParts(path: string, count: number): string[] {
  if (count <= 1) return [];
  const [, stem, part, total] = /([^/\\]*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(path) ?? [];
  if (part !== "00001" || Number(total) !== count) {
    throw new GgufError(
      "gguf-split",
      `${path}: the model is split into ${count} files; open the first one, named "…-00001-of-` +
        `${String(count).padStart(5, "0")}.gguf"`,
      { count },
    );
  }
  return Array.from({ length: count - 1 }, (_, i) => `${stem!}-${String(i + 2).padStart(5, "0")}-of-${total!}.gguf`);
}

/** Errors name the file. */
async function readHeader(file: FolderFile, budgets: Budgets): Promise<GgufHeader> {
  try {
    return await readGrowing(file, budgets);
  } catch (error) {
    if (!(error instanceof GgufError)) throw error;
    const message = error.message.replace(/^gguf: /, `${file.path}: `);
    throw new GgufError(error.code, message, { ...error.details, path: file.path }, { cause: error });
  }
}

async function readGrowing(
  file: FolderFile,
  { ggufHeaderBytes: largest, ggufValues: values }: Budgets,
): Promise<GgufHeader> {
  for (let length = FIRST_BYTES; ;) {
    const bytes = await file.read(0, Math.min(length, file.size));
    const header = parseGgufHeader(bytes, Math.min(file.size, bytes.length < length ? bytes.length : file.size), {
      largest,
      values,
    });
    if (!("needs" in header)) return header;
    length = Math.max(2 * length, header.needs);
  }
}
