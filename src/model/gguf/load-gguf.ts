/**
 * Models from GGUF: one file, or the first of several (`name-00001-of-00003.gguf`). The head is read in growing pieces,
 * tensors piece by piece, so a file of any size costs no more memory than the piece.
 */
import { type Budgets, budgetsWith } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { GgufError, ModelError } from "../../errors.js";
import { decodeGguf } from "../../tensor/formats/gguf/decode.js";
import { type GgufHeader, type GgufTensor, parseGgufHeader } from "../../tensor/formats/gguf/header.js";
import { ggufBlock, type GgufType } from "../../tensor/formats/gguf/types.js";
import { giveTurn } from "../../turns.js";
import type { TensorSource } from "../checkpoint.js";
import { type BudgetOptions, type FolderFile, readExactly } from "../files/folder.js";
import { loadModel, type LoadModelOptions } from "../files/load.js";
import type { Model } from "../model.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type Architecture, ggufConfig, type GgufConfig } from "./config.js";
import { GgufMetadata } from "./metadata.js";
import { ggufTokenizer } from "./tokenizer.js";

/** Heads are nearly all vocabulary; one of 262,144 tokens takes 6 MB. */
const FIRST_BYTES = 2 ** 23;

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

// The tensors of a GGUF file under the names of a Hugging Face checkpoint. llama.cpp stores the query and key rows of
// Llama models in the order of its own rotary kernel: of a head of D rows it keeps i and i + D/2 side by side,
//     row h·D + s·D/2 + i of Hugging Face  =  row h·D + 2·i + s of GGUF          s = 0, 1
// so these rows are put back while they are read. Rows are whole blocks, whatever the type.

/** A model may be split into several files. */
interface PlacedTensor extends GgufTensor {
  readonly file: FolderFile;
}

/** "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; unknown names stay. */
function huggingFaceName(name: string, { outside, blocks, inBlock }: Architecture): string {
  const [, block, part, kind] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  const names = block === undefined ? outside : inBlock;
  const translated = part !== undefined && Object.hasOwn(names, part) ? names[part] : undefined;
  if (translated === undefined) return name;
  return block === undefined ? `${translated}.${kind!}` : `${blocks}${block}.${translated}.${kind!}`;
}

function ggufSource(
  tensors: ReadonlyMap<string, PlacedTensor>,
  { architecture, facts }: Pick<GgufConfig, "architecture" | "facts">,
): TensorSource {
  const named = new Map([...tensors].map(([name, tensor]) => [huggingFaceName(name, architecture), tensor]));
  for (const name of ROPE_FACTORS) named.delete(name); // part of the configuration
  const storedAs = architecture.storedAs?.(facts);
  return {
    tensors: new Map([...named].map(([name, { type, shape }]) => [name, { dtype: type, shape }])),
    ...(storedAs && { storedAs }),
    async read(name, begin = 0, end = Number.MAX_SAFE_INTEGER, room?) {
      const tensor = named.get(name);
      if (tensor === undefined) throw new ModelError("tensor-missing", `gguf: no tensor "${name}"`, { name });
      const range = { begin: Math.min(begin, sizeOf(tensor)), end: Math.min(end, sizeOf(tensor)) };
      const reordered = architecture.interleaved === true && /\.self_attn\.[qk]_proj\./.test(name);
      return reordered ? readReordered(tensor, facts.headDim, range, room) : readRange(tensor, range, room);
    },
  };
}

/** Factors of rotary wavelengths. */
const ROPE_FACTORS = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
const LONGEST_VECTOR = 2 ** 16;

/** undefined if the file has none of that name. */
async function readVector(
  tensors: ReadonlyMap<string, PlacedTensor>,
  name: string,
): Promise<readonly number[] | undefined> {
  const tensor = tensors.get(name);
  if (tensor === undefined) return undefined;
  const { type, shape, file } = tensor;
  if (shape.length !== 1 || shape[0]! > LONGEST_VECTOR) {
    throw new ModelError("tensor-shape", `${file.path}: tensor "${name}" should be a short vector`, { name, shape });
  }
  return Array.from(decodeGguf(await readRange(tensor, { begin: 0, end: sizeOf(tensor) }), type));
}

interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

const sizeOf = ({ begin, end }: PlacedTensor): number => end - begin;

const readRange = ({ file, begin }: PlacedTensor, range: ByteRange, room?: Uint8Array): Promise<Uint8Array> =>
  readExactly(file, begin + range.begin, begin + range.end, room);

/** Bytes as if rows were in Hugging Face's order: the heads they touch are read whole, and ordered in `room`. */
async function readReordered(
  tensor: PlacedTensor,
  headDim: number,
  range: ByteRange,
  room?: Uint8Array,
): Promise<Uint8Array> {
  const rowBytes = bytesPerRow(tensor.type, tensor.shape);
  const headBytes = headDim * rowBytes;
  const begin = range.begin - (range.begin % headBytes);
  const end = headBytes * Math.ceil(range.end / headBytes);
  const read = await readRange(tensor, { begin, end }, room);
  const bytes = read.buffer === room?.buffer ? read : read.slice(); // a file may give a view of itself
  const head = new Uint8Array(headBytes);
  for (let at = 0; at < bytes.length; at += headBytes) {
    head.set(bytes.subarray(at, at + headBytes));
    for (let row = 0; row < headDim; row++) {
      const from = (2 * (row % (headDim / 2)) + Math.floor((2 * row) / headDim)) * rowBytes;
      bytes.set(head.subarray(from, from + rowBytes), at + row * rowBytes);
    }
  }
  return bytes.subarray(range.begin - begin, range.end - begin);
}

/** Bytes of a row; of a vector, of one element. */
function bytesPerRow(type: GgufType, shape: readonly number[]): number {
  const { elements, bytes } = ggufBlock(type);
  return shape.length === 1 ? bytes : (shape.at(-1)! / elements) * bytes;
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

/**
 * Loads the model with its weights as they lie in the file, unless `dtype` asks for another storage. Throws a GgufError
 * or a ModelError that says what does not fit.
 */
export async function loadGguf(
  file: FolderFile,
  options: LoadModelOptions,
  openSibling: OpenSibling = noSibling,
): Promise<Model> {
  const { configJson, source, tokenizer } = await openGguf(file, openSibling, options);
  await giveTurn(options.signal);
  const model = await loadModel(configJson, source, {
    dtype: "stored",
    ...options,
    tokenizer: options.tokenizer ?? (await tokenizer(options.signal)),
  });
  // Biases that the configuration lacks, or further blocks: without them the model is another. What GGUF's names still
  // name ("v.blk.0.…" of a vision tower, say) belongs to no text.
  const left = model.unusedTensors.find((name) => /^(?!.*blk\.).*\.\d+\./.test(name));
  if (left === undefined) return model;
  model.dispose();
  throw new GgufError(
    "gguf-unused-tensor",
    `${file.path}: the configuration has no place for the tensor "${left}"; load the Hugging Face folder of the model`,
    { name: left },
  );
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
