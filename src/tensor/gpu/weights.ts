/**
 * Frozen weight matrices on the GPU: uploaded once, in parts that fit one array, some rows of W [N, K] transposed, [K,
 * n]. gpu.js arrays have neither bytes nor 16-bit floats, so weights of fewer bits are rounded as their dtype says and
 * held as float32. Activations are not rounded, and no memory is saved.
 */
import { DeviceError } from "../../errors.js";
import type { PackedDtype, PackedStorage } from "../device.js";
import { deviceMixed, storageFreed } from "../device-errors.js";
import { roundRow } from "../round-row.js";
import type { Engine, GpuStorage } from "./engine.js";

export class GpuPacked implements PackedStorage {
  readonly bytes: number;
  readonly parts: readonly WeightPart[];
  freed = false;

  constructor(
    readonly engine: Engine,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: PackedDtype,
    maxLength = engine.maxLength,
  ) {
    this.bytes = 4 * rows * columns;
    const step = Math.max(1, Math.min(rows, Math.floor(maxLength / Math.max(1, columns))));
    this.parts = Array.from(
      { length: Math.max(1, Math.ceil(rows / step)) },
      (_, i) => new WeightPart(engine, i * step, Math.min(step, rows - i * step), columns),
    );
  }

  /** Rounds rows to `dtype`: float32 leaves them as they are. */
  fill(firstRow: number, data: Float32Array, dtype = this.dtype): void {
    const { columns } = this;
    for (let begin = 0, row = firstRow; begin < data.length; begin += columns, row++) {
      const part = this.parts.find(({ first, rows }) => row < first + rows)!;
      part.set(row, roundRow(data.subarray(begin, begin + columns), dtype));
    }
  }

  async read(): Promise<Float32Array> {
    const { rows, columns } = this;
    const out = new Float32Array(rows * columns);
    for (const part of this.parts) {
      const values = await this.engine.read(part.weights()); // [K, n]
      for (let k = 0; k < columns; k++) {
        for (let i = 0; i < part.rows; i++) out[(part.first + i) * columns + k] = values[k * part.rows + i]!;
      }
    }
    return out;
  }

  free(): void {
    this.freed = true;
    for (const part of this.parts) part.free();
  }
}

class WeightPart {
  /** The part being filled, transposed; uploaded and dropped once complete, or at first use. */
  #host: Float32Array | undefined;
  readonly #missing: Set<number>;
  #storage: GpuStorage | undefined;

  constructor(
    readonly engine: Engine,
    readonly first: number,
    readonly rows: number,
    readonly columns: number,
  ) {
    this.#host = new Float32Array(rows * columns);
    this.#missing = new Set(Array.from({ length: rows }, (_, i) => first + i));
  }

  set(row: number, values: Float32Array): void {
    if (this.#host === undefined) {
      throw new DeviceError(
        "packed-frozen",
        `gpu: row ${row} of a weight matrix was written after the matrix was complete; create a new one`,
        { row },
      );
    }
    for (let k = 0, at = row - this.first; k < values.length; k++, at += this.rows) this.#host[at] = values[k]!;
    this.#missing.delete(row);
    if (this.#missing.size === 0) this.weights();
  }

  weights(): GpuStorage {
    if (this.#storage === undefined) {
      this.#storage = this.engine.adopt(this.#host!);
      this.#host = undefined;
    }
    return this.#storage;
  }

  free(): void {
    if (this.#storage !== undefined) this.engine.free(this.#storage);
    this.#host = undefined;
  }
}

export function packedOf(engine: Engine, packed: PackedStorage): GpuPacked {
  if (!(packed instanceof GpuPacked) || packed.engine !== engine) {
    throw deviceMixed("gpu", "a weight matrix", "load the model on this one");
  }
  if (packed.freed) throw storageFreed("gpu", "a weight matrix");
  return packed;
}
