/** The head of a GGUF file: legal files parse to their contents; every defect throws an error with its own code. */
import { expectCode } from "../../support/expect-code.js";
import { fc, test } from "../../support/property.js";
import { describe, expect, it } from "vitest";
import { GgufError } from "../../../src/errors.js";
import { defaultBudgets } from "../../../src/budgets.js";
import { parseGgufHeader } from "../../../src/tensor/formats/gguf/header.js";
import { concat, f32, ggufFile, type GgufParts, stringArray, text, u32, u64, VALUE } from "../../support/gguf/bytes.js";

const small: GgufParts = {
  pairs: [
    ["general.architecture", VALUE.string, text("llama")],
    ["llama.block_count", VALUE.uint32, u32(2)],
    ["epsilon", VALUE.float32, f32(1e-5)],
    ["flag", VALUE.bool, Uint8Array.of(1)],
    ["big", VALUE.uint64, u64(2n ** 60n)],
    ["tokens", VALUE.array, stringArray(["a", "Ġb", "🙂", "\uFEFF#", "#"])],
    ["types", VALUE.array, concat(u32(VALUE.uint32), u64(3n), u32(1), u32(2), u32(3))],
    ["flags", VALUE.array, concat(u32(VALUE.bool), u64(2n), Uint8Array.of(0, 1))],
    ["nested", VALUE.array, concat(u32(VALUE.array), u64(2n), stringArray(["x"]), stringArray([]))],
  ],
  tensors: [
    { name: "b.weight", sizes: [32n, 2n], type: 2, offset: 32n },
    { name: "a.weight", sizes: [3n], type: 0, offset: 0n },
  ],
  data: Uint8Array.from({ length: 32 + 36 }, (_, i) => i),
};

function parsed(bytes: Uint8Array) {
  const result = parseGgufHeader(bytes, bytes.length);
  if ("needs" in result) throw new Error(`needs ${result.needs} bytes`);
  return result;
}

describe("a legal file", () => {
  const bytes = ggufFile(small);
  const header = parsed(bytes);

  it("gives its metadata, arrays of numbers as typed arrays", () =>
    expect(Object.fromEntries(header.metadata)).toEqual({
      "general.architecture": "llama",
      "llama.block_count": 2,
      epsilon: Math.fround(1e-5),
      flag: true,
      big: 2n ** 60n,
      tokens: ["a", "Ġb", "🙂", "\uFEFF#", "#"],
      types: Uint32Array.of(1, 2, 3),
      flags: [false, true],
      nested: [["x"], []],
    }));

  it("gives its tensors in the order of the list, shapes slowest first, and where they lie", () => {
    const { dataOffset } = header;
    expect(dataOffset % 32).toBe(0);
    expect([...header.tensors]).toEqual([
      ["b.weight", { type: "Q4_0", shape: [2, 32], begin: dataOffset + 32, end: dataOffset + 68 }],
      ["a.weight", { type: "F32", shape: [3], begin: dataOffset, end: dataOffset + 12 }],
    ]);
  });

  it("is parsed the same from its first bytes, once they suffice; before, it says how many more it needs", () => {
    for (let length = 0; length < bytes.length; length++) {
      const result = parseGgufHeader(bytes.subarray(0, length), bytes.length);
      if ("needs" in result) {
        expect(result.needs).toBeGreaterThan(length);
        expect(result.needs).toBeLessThanOrEqual(header.dataOffset);
      } else {
        expect(result).toEqual(header);
      }
    }
  });

  it("may be of version 2, or have another alignment", () => {
    expect(parsed(ggufFile({ ...small, version: 2 })).version).toBe(2);
    const aligned = ggufFile({
      pairs: [["general.alignment", VALUE.uint32, u32(64)]],
      tensors: [{ name: "x", sizes: [2n], type: 0, offset: 64n }],
      alignment: 64,
      data: new Uint8Array(72),
    });
    expect(parsed(aligned).dataOffset % 64).toBe(0);
  });
});

describe("every defect has a code of its own", () => {
  const tensor = { name: "x", sizes: [32n], type: 0, offset: 0n };
  const data = new Uint8Array(128);
  const cases: Readonly<Record<string, GgufParts | Uint8Array>> = {
    "gguf-magic": { ...small, magic: "GGML" },
    "gguf-version": { ...small, version: 1 },
    "gguf-big-endian": { ...small, version: 3 << 24 },
    "gguf-count": { ...small, tensorCount: 2n ** 40n },
    "gguf-number": { ...small, pairCount: 2n ** 63n },
    "gguf-truncated": ggufFile(small).subarray(0, 12),
    "gguf-duplicate-key": { pairs: [small.pairs![0]!, small.pairs![0]!] },
    "gguf-value-type": { pairs: [["key", 13, u32(0)]] },
    "gguf-bool": { pairs: [["key", VALUE.bool, Uint8Array.of(2)]] },
    "gguf-utf8": { pairs: [["key", VALUE.string, concat(u64(2n), Uint8Array.of(0xff, 0xfe))]] },
    "gguf-array-depth": {
      pairs: [
        ["key", VALUE.array, concat(...Array.from({ length: 9 }, () => concat(u32(VALUE.array), u64(1n))), u32(0))],
      ],
      data,
    },
    "gguf-alignment": { pairs: [["general.alignment", VALUE.uint32, u32(12)]] },
    "gguf-dimensions": { tensors: [{ ...tensor, sizes: [1n, 1n, 1n, 1n, 1n] }], data },
    "gguf-shape": { tensors: [{ ...tensor, sizes: [2n ** 52n, 2n ** 10n] }], data },
    "gguf-row-length": { tensors: [{ ...tensor, sizes: [33n], type: 2 }], data },
    "gguf-tensor-type": { tensors: [{ ...tensor, type: 16 }], data },
    "gguf-duplicate-tensor": { tensors: [tensor, tensor], data },
    "gguf-offset": { tensors: [{ ...tensor, offset: 8n }], data: new Uint8Array(256) },
    "gguf-past-end": { tensors: [tensor], data: data.subarray(0, 100) },
    "gguf-overlap": { tensors: [tensor, { ...tensor, name: "y", offset: 64n }], data: new Uint8Array(256) },
  };

  it.each(Object.entries(cases))("%s", async (code, parts) => {
    const bytes = parts instanceof Uint8Array ? parts : ggufFile(parts);
    await expectCode(() => parsed(bytes), code);
  });

  it("names the supported types if a tensor has another one", () => {
    const bytes = ggufFile({ tensors: [{ ...tensor, type: 16 }], data });
    expect(() => parsed(bytes)).toThrow(/ggml type 16, which is not supported; supported are F32, F16, Q4_0/);
  });

  it("refuses a head beyond the size limit without reading that far", async () => {
    const pairs = [["key", VALUE.string, concat(u64(BigInt(defaultBudgets.ggufHeaderBytes)))]] as const;
    const bytes = ggufFile({ pairs });
    await expectCode(() => parseGgufHeader(bytes, 2 ** 40), "gguf-count");
  });
});

describe("a damaged file", () => {
  const bytes = ggufFile(small);

  test.prop([fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })], {
    numRuns: 3000,
  })("is refused with a GgufError or parsed, at once", (changes) => {
    const damaged = bytes.slice();
    for (const [at, value] of changes) damaged[at] = value;
    const started = performance.now();
    try {
      parseGgufHeader(damaged, damaged.length);
    } catch (error) {
      expect(error).toBeInstanceOf(GgufError);
    }
    expect(performance.now() - started).toBeLessThan(500);
  });

  test.prop([fc.nat(bytes.length), fc.nat(2 ** 40)], { numRuns: 1000 })(
    "that is cut is refused, or asks for bytes that its size still allows",
    (length, more) => {
      const fileSize = length + more;
      try {
        const result = parseGgufHeader(bytes.subarray(0, length), fileSize);
        if ("needs" in result) {
          expect(result.needs).toBeLessThanOrEqual(Math.min(fileSize, defaultBudgets.ggufHeaderBytes));
        }
      } catch (error) {
        expect(error).toBeInstanceOf(GgufError);
      }
    },
  );
});
