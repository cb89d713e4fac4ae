/** Writing small GGUF files, legal and illegal, byte by byte. */

export type GgufPair = readonly [key: string, type: number, value: Uint8Array];

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly pairs?: readonly GgufPair[];
  /** Counts that the head states. @default the true ones */
  readonly tensorCount?: bigint;
  readonly pairCount?: bigint;
  readonly tensors?: readonly GgufTensorParts[];
  readonly alignment?: number;
  /** Bytes of data after the padding. */
  readonly data?: Uint8Array;
}

export interface GgufTensorParts {
  readonly name: string;
  /** Fastest first, as the file has them. */
  readonly sizes: readonly bigint[];
  readonly type: number;
  readonly offset: bigint;
}

/** Numbers of value types. */
export const VALUE = {
  uint8: 0,
  uint16: 2,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
} as const;

export const concat = (...parts: readonly Uint8Array[]) => joined(parts);

function joined(parts: readonly Uint8Array[]) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const utf8 = (value: string) => new TextEncoder().encode(value);

function numberBytes(length: number, write: (view: DataView) => void) {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}

export const u16 = (value: number) => numberBytes(2, (view) => view.setUint16(0, value, true));

export const u32 = (value: number) => numberBytes(4, (view) => view.setUint32(0, value, true));
export const u64 = (value: bigint) => numberBytes(8, (view) => view.setBigUint64(0, value, true));
export const f32 = (value: number) => numberBytes(4, (view) => view.setFloat32(0, value, true));

export function text(value: string) {
  const bytes = utf8(value);
  return concat(u64(BigInt(bytes.length)), bytes);
}

export const stringArray = (values: readonly string[]) =>
  joined([u32(VALUE.string), u64(BigInt(values.length)), ...values.map(text)]);

/** A file of these parts. */
export function ggufFile({
  magic = "GGUF",
  version = 3,
  pairs = [],
  tensors = [],
  tensorCount = BigInt(tensors.length),
  pairCount = BigInt(pairs.length),
  alignment = 32,
  data = new Uint8Array(0),
}: GgufParts) {
  const head = concat(
    utf8(magic),
    u32(version),
    u64(tensorCount),
    u64(pairCount),
    ...pairs.map(([key, type, value]) => concat(text(key), u32(type), value)),
    ...tensors.map(({ name, sizes, type, offset }) =>
      concat(text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset)),
    ),
  );
  const padding = new Uint8Array((alignment - (head.length % alignment)) % alignment);
  return concat(head, padding, data);
}
