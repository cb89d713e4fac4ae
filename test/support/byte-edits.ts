/** Edits of bytes, by which files are damaged. */
import { concat } from "./gguf/bytes.js";

export interface ByteEdit {
  readonly place: number;
  readonly byte: number;
  readonly more: Uint8Array;
}

/** The bytes with others in place of `count` of them. */
function replace(bytes: Uint8Array, { place }: ByteEdit, count: number, others?: Uint8Array) {
  const at = place % (bytes.length + 1);
  return concat(bytes.subarray(0, at), others ?? new Uint8Array(0), bytes.subarray(at + count));
}

export const byteEdits: Readonly<Record<string, (bytes: Uint8Array, edit: ByteEdit) => Uint8Array>> = {
  byte: (bytes, { place, byte }) => bytes.map((old, i) => (i === place % bytes.length ? byte : old)),
  bit: (bytes, { place, byte }) => bytes.map((old, i) => (i === place % bytes.length ? old ^ (1 << (byte % 8)) : old)),
  cut: (bytes, edit) => replace(bytes, edit, bytes.length),
  insertion: (bytes, edit) => replace(bytes, edit, 0, edit.more),
  removal: (bytes, edit) => replace(bytes, edit, 1 + (edit.byte % 4)),
  addition: (bytes, { more }) => concat(bytes, more),
};
