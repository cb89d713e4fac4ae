/**
 * The wire format of Protocol Buffers, as far as ONNX needs it: a message is its fields one after another, each a tag
 * (field number · 8 + wire type) and a value.
 *   0  varint        integers, enums: seven bits a byte, lowest first; negative ones as 64-bit two's complement
 *   2  length, bytes strings, bytes, messages
 *   5  4 bytes       float
 * Repeated fields are written one by one. Source: protobuf.dev/programming-guides/encoding.
 */

/** An encoded message is a value too: it nests as bytes. */
export type FieldValue = number | bigint | string | Uint8Array | { readonly float: number };

export type Field = readonly [number: number, value: FieldValue];

const VARINT = 0;
const BYTES = 2;
const FLOAT = 5;

/** Encodes a message. The same fields give the same bytes. */
export function encodeMessage(fields: Iterable<Field>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) parts.push(...encodeField(number, value));
  const message = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

export function repeated(number: number, values: Iterable<FieldValue>): Field[] {
  return Array.from(values, (value) => [number, value]);
}

function encodeField(number: number, value: FieldValue): Uint8Array[] {
  if (typeof value === "number" || typeof value === "bigint") return [tag(number, VARINT), varint(value)];
  if (typeof value === "string" || value instanceof Uint8Array) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return [tag(number, BYTES), varint(bytes.length), bytes];
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value.float, true);
  return [tag(number, FLOAT), bytes];
}

function tag(number: number, wireType: number): Uint8Array {
  return varint(8 * number + wireType);
}

function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
