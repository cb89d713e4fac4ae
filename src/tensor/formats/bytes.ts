/** Views on bytes. Typed arrays are views, not decoders: files are little endian, and so must the host be. */
import { fault } from "./errors.js";

/**
 * The bytes of any typed array or DataView, shared: a plain Uint8Array even for a Node Buffer, whose `slice` means
 * something else.
 */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** A typed array on the bytes themselves, or on a copy if their offset is not a multiple of the element size. */
export function viewAs<A>(
  bytes: Uint8Array,
  type: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBufferLike, byteOffset: number, length: number): A },
): A {
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / type.BYTES_PER_ELEMENT);
}

/** One after another. */
export function joined<A extends { set(part: ArrayLike<number>, at: number): void }>(
  make: new (length: number) => A,
  parts: readonly ArrayLike<number>[],
): A {
  const all = new make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function requireLittleEndian(where: string): void {
  if (!littleEndian) {
    throw fault(
      "big-endian-host",
      `${where}: safetensors are little endian and are read through typed array views; this host is big endian`,
      {},
    );
  }
}
