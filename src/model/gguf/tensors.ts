/**
 * The tensors of a GGUF file under the names of a Hugging Face checkpoint. llama.cpp stores the query and key rows of
 * Llama models in the order of its own rotary kernel: of a head of D rows it keeps i and i + D/2 side by side,
 *     row h·D + s·D/2 + i of Hugging Face  =  row h·D + 2·i + s of GGUF          s = 0, 1
 * so these rows are put back while they are read. Rows are whole blocks, whatever the type.
 */
import { ModelError } from "../../errors.js";
import { decodeGguf } from "../../tensor/formats/gguf/decode.js";
import { ggufBlock, type GgufType } from "../../tensor/formats/gguf/types.js";
import type { GgufTensor } from "../../tensor/formats/gguf/header.js";
import type { TensorSource } from "../checkpoint.js";
import type { FolderFile } from "../files/folder.js";
import type { Architecture } from "./architectures.js";
import type { GgufConfig } from "./config.js";

/** A model may be split into several files. */
export interface PlacedTensor extends GgufTensor {
  readonly file: FolderFile;
}

/** "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; unknown names stay. */
export function huggingFaceName(name: string, { outside, blocks, inBlock }: Architecture): string {
  const [, block, part, kind] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  const names = block === undefined ? outside : inBlock;
  const translated = part !== undefined && Object.hasOwn(names, part) ? names[part] : undefined;
  if (translated === undefined) return name;
  return block === undefined ? `${translated}.${kind!}` : `${blocks}${block}.${translated}.${kind!}`;
}

export function ggufSource(
  tensors: ReadonlyMap<string, PlacedTensor>,
  { architecture, facts }: Pick<GgufConfig, "architecture" | "facts">,
): TensorSource {
  const named = new Map([...tensors].map(([name, tensor]) => [huggingFaceName(name, architecture), tensor]));
  for (const name of ROPE_FACTORS) named.delete(name); // part of the configuration
  const storedAs = architecture.storedAs?.(facts);
  return {
    tensors: new Map([...named].map(([name, { type, shape }]) => [name, { dtype: type, shape }])),
    ...(storedAs && { storedAs }),
    async read(name, begin = 0, end = Number.MAX_SAFE_INTEGER) {
      const tensor = named.get(name);
      if (tensor === undefined) throw new ModelError("tensor-missing", `gguf: no tensor "${name}"`, { name });
      const range = { begin: Math.min(begin, sizeOf(tensor)), end: Math.min(end, sizeOf(tensor)) };
      const reordered = architecture.interleaved === true && /\.self_attn\.[qk]_proj\./.test(name);
      return reordered ? readReordered(tensor, facts.headDim, range) : readRange(tensor, range);
    },
  };
}

/** Factors of rotary wavelengths. */
const ROPE_FACTORS = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
const LONGEST_VECTOR = 2 ** 16;

/** undefined if the file has none of that name. */
export async function readVector(
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

async function readRange({ file, begin }: PlacedTensor, range: ByteRange): Promise<Uint8Array> {
  const bytes = await file.read(begin + range.begin, begin + range.end);
  if (bytes.length === range.end - range.begin) return bytes;
  throw new ModelError("file-truncated", `${file.path}: it ended while a tensor was being read; was it changed?`, {
    path: file.path,
  });
}

/** Bytes as if rows were in Hugging Face's order: the heads they touch are read whole. */
async function readReordered(tensor: PlacedTensor, headDim: number, range: ByteRange): Promise<Uint8Array> {
  const rowBytes = bytesPerRow(tensor.type, tensor.shape);
  const headBytes = headDim * rowBytes;
  const first = Math.floor(range.begin / headBytes);
  const heads = Math.ceil(range.end / headBytes) - first;
  const stored = await readRange(tensor, { begin: first * headBytes, end: (first + heads) * headBytes });
  const ordered = new Uint8Array(stored.length);
  for (let row = 0; row < heads * headDim; row++) {
    const within = row % headDim;
    const half = headDim / 2;
    const from = row - within + 2 * (within % half) + Math.floor(within / half);
    ordered.set(stored.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return ordered.subarray(range.begin - first * headBytes, range.end - first * headBytes);
}

/** Bytes of a row; of a vector, of one element. */
function bytesPerRow(type: GgufType, shape: readonly number[]): number {
  const { elements, bytes } = ggufBlock(type);
  return shape.length === 1 ? bytes : (shape.at(-1)! / elements) * bytes;
}
