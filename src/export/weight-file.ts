/**
 * The file of weights that all graphs of an export refer to (ONNX's external data): float32, little-endian, each at a
 * multiple of 64 bytes. Graphs themselves stay small, so no model meets the 2 GiB limit of a protobuf message. A matrix
 * that several graphs use, such as a tied embedding, is in the file once. Weights are read from the device when the
 * file is written, one at a time.
 */

const ALIGNMENT = 64;

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

  constructor(readonly name: string) {}

  /** Length of the file. */
  get bytes(): number {
    return this.#end;
  }

  /** Gives a weight of `size` values a place, or finds the place that the key has already. */
  place(key: unknown, size: number, read: () => Promise<Float32Array>): Placed {
    const placed = this.#entries.get(key);
    if (placed !== undefined) return placed;
    const offset = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    const entry = { offset, bytes: 4 * size, read };
    this.#entries.set(key, entry);
    this.#end = offset + entry.bytes;
    return entry;
  }

  /** The content, weight by weight. */
  async *chunks(): AsyncGenerator<Uint8Array, void, void> {
    let at = 0;
    for (const { offset, read } of this.#entries.values()) {
      if (offset > at) yield new Uint8Array(offset - at);
      const values = await read();
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      at = offset + values.byteLength;
    }
  }
}
