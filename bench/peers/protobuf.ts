/**
 * The writing half of protocol buffers, as much as ONNX needs: a message is the concatenation of its fields, each a key
 * (field << 3 | wire type) and a value: varint (0), length-delimited bytes (2) or four bytes (5).
 * https://protobuf.dev/programming-guides/encoding. Leaves out negative varints, 64-bit floats and reading.
 */
export type Bytes = Uint8Array;

/** Fields after one another are a message; `undefined` fields are left out. */
export function message(...fields: readonly (Bytes | undefined)[]): Bytes {
  return concatenate(fields.filter((field) => field !== undefined));
}

export function integer(field: number, value: number): Bytes {
  return Uint8Array.from([...varint(field << 3), ...varint(value)]);
}

export function float(field: number, value: number): Bytes {
  return concatenate([Uint8Array.from(varint((field << 3) | 5)), new Uint8Array(Float32Array.of(value).buffer)]);
}

/** A string (UTF-8), bytes, or a nested message. */
export function bytes(field: number, value: string | Bytes): Bytes {
  const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return concatenate([Uint8Array.from([...varint((field << 3) | 2), ...varint(data.length)]), data]);
}

/** Seven bits per byte, lowest first. Division instead of shifts: lengths may pass 2^31. */
function varint(value: number): number[] {
  const out: number[] = [];
  while (value >= 128) {
    out.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
  return out;
}

function concatenate(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
