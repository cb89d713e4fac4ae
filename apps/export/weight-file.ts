/**
 * The weights of all graphs of an export (ONNX's external data): float32, little-endian, each at a multiple of 64
 * bytes. So no graph meets the 2 GiB limit of a protobuf message. A matrix of several graphs, such as a tied embedding,
 * is there once. Weights are read from the device one at a time, when the file is written.
 */

const ALIGNMENT = 64;
/** Node writes less than 2 GiB at once. */
const PIECE = 2 ** 28;

/** A weight's place in the file. */
export interface Placed {
  readonly offset: number;
  readonly bytes: number;
}

interface Entry extends Placed {
  readonly read: () => Promise<Float32Array>;
}

export class WeightFile {
  readonly #entries = new Map<unknown, Entry>();
  #end = 0;

  get bytes(): number {
    return this.#end;
  }

  /** Places a weight of `size` values, or finds the place of its key. */
  place(key: unknown, size: number, read: () => Promise<Float32Array>): Placed {
    const placed = this.#entries.get(key);
    if (placed !== undefined) return placed;
    const offset = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    const entry = { offset, bytes: 4 * size, read };
    this.#entries.set(key, entry);
    this.#end = offset + entry.bytes;
    return entry;
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, void> {
    let at = 0;
    for (const { offset, read } of this.#entries.values()) {
      if (offset > at) yield new Uint8Array(offset - at);
      const values = await read();
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let from = 0; from < bytes.length; from += PIECE) yield bytes.subarray(from, from + PIECE);
      at = offset + bytes.length;
    }
  }
}
