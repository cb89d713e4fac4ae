/** Files that are small to describe and large to read. */
import fc from "fast-check";

/** A kind of file, and its size in bytes. */
export interface Bomb {
  readonly kind: "deep" | "wide" | "keys" | "text" | "header" | "numbers";
  readonly bytes: number;
}

export const bomb: fc.Arbitrary<Bomb> = fc.record({
  kind: fc.constantFrom("deep", "wide", "keys", "text", "header", "numbers"),
  bytes: fc.constantFrom(1e5, 1e6, 3e6, 2e7),
});

/** The bytes of a bomb. */
export function bombFile({ kind, bytes }: Bomb): Uint8Array {
  switch (kind) {
    case "deep":
      return new Uint8Array(bytes).fill(0x5b); // [[[[…
    case "wide":
      return text(`[${"{},".repeat(bytes / 3)}{}]`);
    case "numbers":
      return text(`{"model":{"vocab":[${"1,".repeat(bytes / 2)}1]}}`);
    case "keys":
      return text(`{${Array.from({ length: bytes / 12 }, (_, i) => `"k${i}":${i}`).join(",")}}`);
    case "text":
      return text(JSON.stringify({ model_type: "x".repeat(bytes) }));
    case "header":
      return headerBomb(bytes);
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A safetensors file that is nothing but header: empty tensors by the hundred thousand. */
function headerBomb(bytes: number): Uint8Array {
  const entry = (i: number): string => `"t${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`;
  const header = text(`{${Array.from({ length: Math.ceil(bytes / 60) }, (_, i) => entry(i)).join(",")}}`);
  const file = new Uint8Array(8 + header.length);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  return file;
}
