/**
 * Checkpoints: from tensors to a block's weights. A weight [N, K] is `Part`s, stacked: rows of source tensors, possibly
 * transposed (GPT-2 stores [K, N]) or reordered (NeoX interleaves query, key and value per head). Large matrices are
 * read, decoded and packed in chunks, so loading never holds a float32 copy of the model.
 */
import type { CancelSignal } from "../cancel-signal.js";
import { ModelError } from "../errors.js";
import { type Device, type PackedDtype, PackedMatrix, type Shape, Tensor, type WeightDtype } from "../tensor/index.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { type GgufType, integerForm } from "../tensor/formats/gguf/types.js";
import { parseSafetensors } from "../tensor/formats/safetensors.js";
import { storedDecoder, type StoredDtype, storedRowBytes } from "../tensor/formats/stored.js";
import { giveTurn } from "../turns.js";
import { sha256 } from "./sha256.js";

/** Named tensors that can be read piece by piece. */
export interface TensorSource {
  readonly tensors: ReadonlyMap<string, { readonly dtype: StoredDtype; readonly shape: Shape }>;
  /** A part of the family's layout in this source. @default as Hugging Face stores it */
  readonly storedAs?: (part: Part) => Part;
  /** Bytes [begin, end) of one tensor, in `room` if the source can and they fit. @default all of them */
  read(name: string, begin?: number, end?: number, room?: Uint8Array): Promise<Uint8Array>;
}

/** Source over a safetensors file in memory. Reads are views. */
export function memorySource(file: Uint8Array): TensorSource {
  const parsed = parseSafetensors(file);
  return {
    tensors: new Map(parsed.names.map((name) => [name, parsed.info(name)])),
    read: (name, begin, end) => Promise.resolve(parsed.bytes(name).subarray(begin, end)),
  };
}

export interface Part {
  readonly name: string;
  /** As stored. */
  readonly shape: Shape;
  /** Stored [K, N]: row r of the weight is column r of the tensor. @default false */
  readonly transposed?: boolean;
  /** Rows in order. @default all */
  readonly rows?: readonly number[];
  /** Added to every value of a vector: Gemma stores its gains less 1. @default 0 */
  readonly plus?: number;
}

/** [N, K] of stacked parts. */
export function stackedShape(parts: readonly Part[]): readonly [number, number] {
  const shapes = parts.map(({ shape, transposed, rows }) => {
    const [n, k] = transposed ? shape.toReversed() : shape;
    return [rows?.length ?? n!, k!] as const;
  });
  return [shapes.reduce((sum, [n]) => sum + n, 0), shapes[0]![1]];
}

const CHUNK_BYTES = 2 * 2 ** 20;

/** Rows in a chunk: whole panels of the wasm device, or fewer than sixteen. */
function chunkRows(rowBytes: number): number {
  const rows = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  return rows < 16 ? rows : rows - (rows % 16);
}

interface CheckpointReaderOptions {
  /** Receives counts of weights that have arrived, a few megabytes at a time. */
  readonly onWeights?: (count: number) => void;
  /** Ends reading between two pieces. */
  readonly signal?: CancelSignal | undefined;
}

/** Reads one model's weights, and records the tensors used. */
export class CheckpointReader {
  readonly used = new Set<string>();
  readonly onWeights: (count: number) => void;
  readonly #signal: CancelSignal | undefined;
  readonly #made: (Tensor | PackedMatrix)[] = [];
  /** For the bytes that are packed, and for the next: new pages for each would cost as much as packing. */
  readonly #rooms = [new Uint8Array(CHUNK_BYTES), new Uint8Array(CHUNK_BYTES)];

  constructor(
    readonly source: TensorSource,
    readonly device: Device,
    { onWeights = () => undefined, signal }: CheckpointReaderOptions = {},
  ) {
    this.onWeights = onWeights;
    this.#signal = signal;
  }

  /** A bias or gain: the parts' values one after another. */
  async vector(parts: readonly Part[]): Promise<Tensor> {
    const values: number[] = [];
    for (const wanted of parts) {
      const part = this.#stored(wanted);
      const data = await this.#readAll(part);
      const rows = part.rows ?? data.keys();
      for (const row of rows) values.push(data[row]! + (part.plus ?? 0));
    }
    return this.#keep(Tensor.from(this.device, values));
  }

  /** A trainable or elementwise-read matrix: float32, row-major. */
  async table(wanted: Part): Promise<Tensor> {
    const part = this.#stored(wanted);
    return this.#keep(Tensor.from(this.device, await this.#readAll(part), part.shape));
  }

  /** Packs a weight [N, K] for products; "stored": without loss, in the fewest bits that the device's products take. */
  async matrix(wanted: readonly Part[], dtype: WeightDtype | "stored"): Promise<PackedMatrix> {
    const parts = wanted.map((part) => this.#stored(part));
    for (const part of parts) this.#info(part); // before room is made for shapes that no tensor has
    const [rows, columns] = stackedShape(parts);
    const as = dtype === "stored" ? losslessDtype(parts, this.source) : dtype;
    const packed = this.device.createPacked(rows, columns, as);
    const matrix = this.#keep(new PackedMatrix(this.device, packed));
    let firstRow = 0;
    for (const part of parts) {
      const [count] = stackedShape([part]);
      const exact = dtype === "stored" && isIntegral(as);
      if (exact || (part.rows === undefined && !part.transposed)) {
        await this.#packWhole(packed, firstRow, part, columns, !exact);
      } else this.#packRows(packed, firstRow, part, count, columns, await this.#readAll(part));
      firstRow += count;
    }
    return matrix;
  }

  /** Frees everything made so far, after a failure. */
  abandon(): void {
    for (const weight of this.#made.splice(0)) weight.dispose();
  }

  /** Tensors of the source that no weight was made from. */
  unused(): string[] {
    return [...this.source.tensors.keys()].filter((name) => !this.used.has(name)).sort();
  }

  #stored(part: Part): Part {
    return this.source.storedAs?.(part) ?? part;
  }

  #keep<T extends Tensor | PackedMatrix>(weight: T): T {
    this.#made.push(weight);
    return weight;
  }

  /** Packs the rows of a part, a chunk at a time, while the next are read. */
  async #packWhole(
    storage: PackedMatrix["storage"],
    firstRow: number,
    part: Part,
    columns: number,
    rounds: boolean,
  ): Promise<void> {
    const { dtype: type } = this.#info(part);
    const rowBytes = this.#rowBytes(part, columns);
    const decode = await storedDecoder(type);
    const { ggufIntegers } = rounds ? {} : await import("../tensor/formats/gguf/decode.js");
    const pack = (row: number, bytes: Uint8Array): void => {
      if (this.device.packStored?.(storage, row, { bytes, type, rounds }) === true) return;
      if (ggufIntegers === undefined) this.device.packRows(storage, row, decode(bytes));
      else this.device.packIntegers(storage, row, ggufIntegers(bytes, type as GgufType, columns));
    };
    const rows = part.shape[0]!;
    const step = chunkRows(rowBytes);
    const read = (row: number): Promise<Uint8Array> =>
      this.source.read(part.name, row * rowBytes, Math.min(row + step, rows) * rowBytes, this.#rooms.reverse()[0]);
    let next: Promise<Uint8Array> | undefined = read(0);
    for (let row = 0; next !== undefined; row += step) {
      const bytes = await next;
      await giveTurn(this.#signal);
      next = row + step < rows ? read(row + step) : undefined;
      next?.catch(() => undefined); // if packing fails, nobody awaits it
      pack(firstRow + row, bytes);
      this.onWeights((bytes.length / rowBytes) * columns);
    }
  }

  #packRows(
    packed: PackedMatrix["storage"],
    firstRow: number,
    part: Part,
    count: number,
    columns: number,
    data: Float32Array,
  ): void {
    const rowStride = part.transposed ? 1 : columns;
    const columnStride = part.transposed ? part.shape[1]! : 1;
    const step = chunkRows(4 * columns);
    for (let begin = 0; begin < count; begin += step) {
      const rows = Math.min(step, count - begin);
      const chunk = new Float32Array(rows * columns);
      for (let r = 0; r < rows; r++) {
        const from = (part.rows?.[begin + r] ?? begin + r) * rowStride;
        for (let k = 0; k < columns; k++) chunk[r * columns + k] = data[from + k * columnStride]!;
      }
      this.device.packRows(packed, firstRow + begin, chunk);
      this.onWeights(chunk.length);
    }
  }

  async #readAll(part: Part): Promise<Float32Array> {
    const { dtype } = this.#info(part);
    const decode = await storedDecoder(dtype);
    await giveTurn(this.#signal); // the event loop gets its turns between pieces
    return decode(await this.source.read(part.name));
  }

  #rowBytes(part: Part, columns: number): number {
    const { dtype } = this.#info(part);
    const bytes = storedRowBytes(dtype, columns);
    if (bytes === undefined) {
      throw new ModelError(
        "tensor-dtype",
        `checkpoint: tensor "${part.name}" is ${dtype}; weights must be F64, F32, F16, BF16 or a block type of GGUF`,
        { name: part.name, dtype },
      );
    }
    return bytes;
  }

  /** Checks existence and shape, and counts the tensor as used. */
  #info(part: Part): { dtype: StoredDtype } {
    const info = this.source.tensors.get(part.name);
    if (info === undefined) {
      throw new ModelError(
        "tensor-missing",
        `checkpoint: tensor "${part.name}" ${formatShape(part.shape)} is missing; ` +
          `the file holds ${this.source.tensors.size} tensors${nearest(part.name, this.source.tensors.keys())}`,
        { name: part.name, expected: part.shape },
      );
    }
    if (!sameShape(info.shape, part.shape)) {
      throw new ModelError(
        "tensor-shape",
        `checkpoint: tensor "${part.name}" should be ${formatShape(part.shape)} according to config.json, ` +
          `found ${formatShape(info.shape)}`,
        { name: part.name, expected: part.shape, found: info.shape },
      );
    }
    this.used.add(part.name);
    return info;
  }
}

/**
 * The dtype for all parts without loss. Blocks of four bits keep theirs, and so do blocks of eight without minimums;
 * other blocks, mixtures and float16 become float32.
 */
export function losslessDtype(parts: readonly Part[], source: Pick<TensorSource, "tensors">): PackedDtype {
  const found = new Set(parts.map((part) => losslessPart(part, source)));
  const [only] = found;
  if (found.size === 1) return only!;
  const nibbles = NIBBLES.filter((dtype) => found.has(dtype));
  return nibbles.length === found.size ? nibbles.at(-1)! : "float32";
}

/** Each holds the values of those before it. */
const NIBBLES = ["int4-centred", "int4", "int4-floats"] as const;

function losslessPart({ name, rows, transposed }: Part, source: Pick<TensorSource, "tensors">): PackedDtype {
  const type = source.tensors.get(name)?.dtype;
  if (type === undefined || type === "BF16") return "bfloat16"; // unknown: the least that safetensors hold
  const whole = rows === undefined && transposed !== true;
  return (whole ? integerForm(type) : undefined) ?? "float32";
}

const isIntegral = (dtype: PackedDtype): boolean => dtype.startsWith("int");

/** Heads and certificates name models by hashes of pieces of this size, however much is read at a time to load. */
const HASHED_BYTES = 4 * 2 ** 20;

/** SHA-256 over a model's configuration and the names, dtypes, shapes and bytes (4 MiB at a time) of its tensors. */
export async function hashCheckpoint(source: TensorSource, config: unknown, signal?: CancelSignal): Promise<string> {
  const lines = [JSON.stringify(config)];
  for (const name of [...source.tensors.keys()].sort()) {
    const { dtype, shape } = source.tensors.get(name)!;
    const digests: string[] = [];
    for (let begin = 0, more = true; more; begin += HASHED_BYTES) {
      await giveTurn(signal);
      const bytes = await source.read(name, begin, begin + HASHED_BYTES);
      digests.push(await sha256(bytes));
      more = bytes.length === HASHED_BYTES;
    }
    lines.push(`${name} ${dtype} ${formatShape(shape)} ${digests.join(" ")}`);
  }
  return sha256(lines.join("\n"));
}

function nearest(name: string, names: Iterable<string>): string {
  const tail = name.split(".").slice(-2).join(".");
  const alike = [...names].filter((other) => other.endsWith(tail)).slice(0, 3);
  return alike.length > 0 ? `; did you mean ${alike.map((other) => `"${other}"`).join(", ")}?` : "";
}
