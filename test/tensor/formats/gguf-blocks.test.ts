/** Blocks of every GGUF tensor type, compared bit for bit with the float32 that gguf-py decodes them to. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createDevice } from "../../../src/node/index.js";
import { decodeGguf, ggufIntegers } from "../../../src/tensor/formats/gguf/decode.js";
import { ggufBlock, ggufTypes } from "../../../src/tensor/formats/gguf/types.js";
import type { PackedStorage } from "../../../src/tensor/device.js";
import { WasmPacked } from "../../../src/tensor/wasm/engine.js";

const device = await createDevice("wasm");
function bitsAt(packed: PackedStorage) {
  if (!(packed instanceof WasmPacked)) throw new TypeError("a matrix of another device");
  return packed.engine.memory.i8.slice(packed.address, packed.address + packed.bytes);
}

interface Golden {
  readonly elements_per_block: number;
  readonly bytes_per_block: number;
  readonly rows: readonly { readonly raw_base64: string; readonly float32_base64: string }[];
}
const golden = JSON.parse(readFileSync("test/golden/gguf-blocks.json", "utf8")) as Readonly<Record<string, Golden>>;

/** Bits, so that -0 and 0 differ. */
const bitsOf = (values: Float32Array) => new Uint32Array(values.slice().buffer);

it("every type of the golden file is supported, and every supported type is in it", () =>
  expect(Object.keys(golden).sort()).toEqual([...ggufTypes].sort()));

describe.each(ggufTypes)("%s", (type) => {
  const { rows, elements_per_block: elements, bytes_per_block: bytes } = golden[type]!;

  it("has blocks of the size that ggml gives them", () => expect(ggufBlock(type)).toMatchObject({ elements, bytes }));

  it("decodes to the same bits as gguf-py, row by row and all rows at once", () => {
    const raw = rows.map((row) => new Uint8Array(Buffer.from(row.raw_base64, "base64")));
    const wanted = rows.map((row) => bitsOf(floatsOf(row.float32_base64)));
    expect(raw.map((row) => bitsOf(decodeGguf(row, type)))).toEqual(wanted);
    expect(bitsOf(decodeGguf(new Uint8Array(Buffer.concat(raw)), type))).toEqual(
      Uint32Array.from(wanted.flatMap((row) => [...row])),
    );
  });

  it("decodes bytes at an odd offset of their buffer", () => {
    const row = Buffer.from(rows[0]!.raw_base64, "base64");
    const shifted = new Uint8Array(row.length + 1);
    shifted.set(row, 1);
    expect(decodeGguf(shifted.subarray(1), type)).toEqual(decodeGguf(new Uint8Array(row), type));
  });

  it("refuses a part of a block", () => {
    if (bytes === 1) return;
    expect(() => decodeGguf(new Uint8Array(bytes + 1), type)).toThrow(`whole number of ${type} blocks`);
  });
});

const rounded = (["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K", "Q6_K"] as const).flatMap((type) =>
  (["float32", "bfloat16", "int8"] as const).map((dtype) => [type, dtype, true] as const),
);
it.each([
  ["Q4_0", "int4", false],
  ["Q4_1", "int4", false],
  ["Q4_K", "int4-floats", false],
  ["Q5_0", "int8", false],
  ["Q8_0", "int8", false],
  ...rounded,
] as const)("%s is packed by a kernel to the same bits of %s (rounds: %s), in any chunks", (type, dtype, rounds) => {
  const { rows, elements_per_block: elements, bytes_per_block: bytes } = golden[type]!;
  const raw = Buffer.concat(rows.map((row) => Buffer.from(row.raw_base64, "base64")));
  const blocks = elements === 1 ? 75 : 2; // a last group may be shorter
  const stored = Uint8Array.from({ length: 37 * blocks * bytes }, (_, i) => raw[i % raw.length]!);
  const create = () => device.createPacked(37, blocks * elements, dtype);
  const whole = create();
  if (rounds) device.packRows(whole, 0, decodeGguf(stored, type));
  else device.packIntegers(whole, 0, ggufIntegers(stored, type, blocks * elements));
  const split = create();
  const first = stored.subarray(0, 5 * blocks * bytes);
  expect(device.packStored!(split, 0, { bytes: first, type, rounds })).toBe(true);
  device.packStored!(split, 5, { bytes: stored.subarray(first.length), type, rounds });
  expect(bitsAt(split)).toEqual(bitsAt(whole));
});

function floatsOf(base64: string) {
  const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
  return new Float32Array(bytes.buffer);
}
