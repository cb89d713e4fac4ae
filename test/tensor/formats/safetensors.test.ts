/**
 * Facts about safetensors files: golden bytes, round trips, no copies if none are needed, headers, and random damage.
 * Malformed files are in malformed.test.ts, the 16-bit floats in half-floats.test.ts.
 */
import { describe, expect } from "vitest";
import { decodeFloat32, safetensorsDtypes } from "../../../src/tensor/formats/dtype.js";
import { parseSafetensors } from "../../../src/tensor/formats/safetensors.js";
import { parseSafetensorsHeader, safetensorsHeaderLength } from "../../../src/tensor/formats/header.js";
import { type SafetensorsInput, serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { entry, fault, fileOf } from "./safetensors-files.js";
import { checkMutated, mutatedFile, sizeInBits } from "../../support/safetensors-mutations.js";
import { fc, test } from "../../support/property.js";

describe("the bytes of a file", () => {
  test("are length, header padded to 8, tensors by decreasing alignment and then name", () => {
    const file = serializeSafetensors(
      {
        b: { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) },
        z: { dtype: "F32", shape: [2, 1], data: Float32Array.of(1, -2) },
        a: { dtype: "F32", shape: [], data: Float32Array.of(0.5) },
        h: { dtype: "BF16", shape: [2], data: Float32Array.of(1, -2) },
      },
      { format: "pt", a: "1" },
    );
    const header =
      '{"__metadata__":{"a":"1","format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"z":' +
      '{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},' +
      '"h":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},"b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    expect([...file.subarray(0, 8)]).toEqual([padded.length & 255, padded.length >> 8, 0, 0, 0, 0, 0, 0]);
    expect(new TextDecoder().decode(file.subarray(8, 8 + padded.length))).toBe(padded);
    expect([...file.subarray(8 + padded.length)]).toEqual([
      0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x80, 0x3f, 0, 0xc0, 1, 2, 3,
    ]);
  });

  test("of the example in the reference documentation parse, its header unpadded", () => {
    const file = parseSafetensors(fileOf('{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}', 16));
    expect(file.info("test")).toEqual({ name: "test", dtype: "I32", shape: [2, 2], begin: 0, end: 16 });
    expect(file.array("test")).toEqual(new Int32Array(4));
  });

  test("of an empty file are an empty header", () => {
    const file = serializeSafetensors({});
    expect(new TextDecoder().decode(file.subarray(8))).toBe("{}      ");
    expect(parseSafetensors(file).names).toEqual([]);
  });

  test("do not depend on the order of the input", () => {
    const tensors: [string, SafetensorsInput][] = safetensorsDtypes.map((dtype) => [
      `t.${dtype}`,
      { dtype, shape: [4], data: new Uint8Array(sizeInBits(dtype, [4]) / 8) },
    ]);
    expect(serializeSafetensors([...tensors].reverse())).toEqual(serializeSafetensors(Object.fromEntries(tensors)));
    expect(parseSafetensors(serializeSafetensors(tensors)).names).toEqual([...tensors].reverse().map(([name]) => name));
  });

  test("order names by code point, as UTF-8 does", () => {
    const one = { dtype: "U8", shape: [0], data: new Uint8Array(0) } as const;
    expect(parseSafetensors(serializeSafetensors({ "\u{1F600}": one, "\uFF5E": one, a: one })).names).toEqual([
      "a",
      "\uFF5E",
      "\u{1F600}",
    ]);
  });
});

describe("a round trip", () => {
  const anyTensor = fc
    .record({ dtype: fc.constantFrom(...safetensorsDtypes), shape: fc.array(fc.nat(4), { maxLength: 3 }) })
    .chain(({ dtype, shape: any }) => {
      // sub-byte elements must fill whole bytes
      const shape = sizeInBits(dtype, any) % 8 === 0 ? any : [...any, 4];
      const length = sizeInBits(dtype, shape) / 8;
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }));
    });

  test.prop([fc.array(fc.tuple(fc.string({ unit: "binary" }), anyTensor)), fc.dictionary(fc.string(), fc.string())])(
    "keeps names, dtypes, shapes, bytes and metadata",
    (tensors, metadata) => {
      const wanted = new Map(tensors.filter(([name]) => name !== "__metadata__"));
      const bytes = serializeSafetensors(wanted, metadata);
      const file = parseSafetensors(bytes);
      expect(new Set(file.names)).toEqual(new Set(wanted.keys()));
      expect(Object.entries(file.metadata).sort()).toEqual(Object.entries(metadata).sort());
      for (const [name, { dtype, shape, data }] of wanted) {
        expect(file.info(name)).toMatchObject({ dtype, shape });
        expect(file.bytes(name)).toEqual(data);
      }
      expect(
        serializeSafetensors(
          file.names.map((name) => [name, { ...file.info(name), data: file.bytes(name) }] as const),
          file.metadata,
        ),
      ).toEqual(bytes);
    },
  );

  test.each([
    ["F32", Float32Array.of(1.5, -0, Infinity), [1.5, -0, Infinity]],
    ["F64", Float64Array.of(0.1, -1e300), [Math.fround(0.1), -Infinity]],
    ["I8", Int8Array.of(-128, 127), [-128, 127]],
    ["U8", Uint8Array.of(0, 255), [0, 255]],
    ["I16", Int16Array.of(-32768), [-32768]],
    ["U16", Uint16Array.of(65535), [65535]],
    ["I32", Int32Array.of(-(2 ** 31), 2 ** 24 + 1), [-(2 ** 31), 2 ** 24]],
    ["U32", Uint32Array.of(2 ** 32 - 1), [2 ** 32]],
    ["I64", BigInt64Array.of(-(2n ** 63n), 3n), [-(2 ** 63), 3]],
    ["U64", BigUint64Array.of(2n ** 64n - 1n), [2 ** 64]],
  ] as const)("of %s gives back its own typed array, and float32 rounded to nearest", (dtype, data, floats) => {
    const file = parseSafetensors(serializeSafetensors({ t: { dtype, shape: [data.length], data } }));
    expect(file.array("t")).toEqual(data);
    expect(file.float32("t")).toEqual(Float32Array.from(floats));
  });

  test("of BOOL gives bytes, of F16 and BF16 float32", () => {
    const file = parseSafetensors(
      serializeSafetensors({
        yes: { dtype: "BOOL", shape: [2], data: Uint8Array.of(1, 0) },
        half: { dtype: "F16", shape: [2], data: Float32Array.of(0.5, 65504) },
        brain: { dtype: "BF16", shape: [2], data: Uint16Array.of(0x3f80, 0xff80) },
      }),
    );
    expect(file.array("yes")).toEqual(Uint8Array.of(1, 0));
    expect(file.float32("yes")).toEqual(Float32Array.of(1, 0));
    expect(file.array("half")).toEqual(Float32Array.of(0.5, 65504));
    expect(file.array("brain")).toEqual(Float32Array.of(1, -Infinity));
  });
});

describe("no copy is made", () => {
  const bytes = serializeSafetensors({
    f: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) },
    i: { dtype: "I64", shape: [1], data: BigInt64Array.of(7n) },
  });

  test("of tensors that lie aligned: they share the file's buffer", () => {
    const file = parseSafetensors(bytes);
    for (const view of [file.bytes("f"), file.float32("f"), file.array("f"), file.bytes("i"), file.array("i")]) {
      expect(view.buffer).toBe(bytes.buffer);
    }
    file.float32("f")[1] = 5;
    expect(file.array("f")).toEqual(Float32Array.of(1, 5));
    file.float32("f")[1] = 2;
  });

  test("of an ArrayBuffer, a Buffer or a subarray; elsewhere values are copied and the same", () => {
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const file = parseSafetensors(shifted.subarray(1));
    expect(file.bytes("f").buffer).toBe(shifted.buffer);
    expect(file.float32("f").buffer).not.toBe(shifted.buffer);
    expect(file.float32("f")).toEqual(Float32Array.of(1, 2));
    expect(file.array("i")).toEqual(BigInt64Array.of(7n));
    expect(parseSafetensors(bytes.buffer as ArrayBuffer).float32("f").buffer).toBe(bytes.buffer);
    expect(parseSafetensors(Buffer.from(bytes.buffer)).bytes("f").constructor).toBe(Uint8Array);
  });

  test("to read one tensor of a file too large to hold: 8 bytes, the header, the tensor", () => {
    const dataBytes = 2 ** 33;
    const header = fileOf(
      `{"a":${entry("BF16", "[4294967295]", `[0,${dataBytes - 2}]`)},` +
        `"b":${entry("F16", "[1]", `[${dataBytes - 2},${dataBytes}]`)}}`,
    );
    const fileSize = header.length + dataBytes;
    expect(8 + safetensorsHeaderLength(header.subarray(0, 8), fileSize)).toBe(header.length);
    const { tensors, dataOffset } = parseSafetensorsHeader(header, fileSize);
    expect(dataOffset).toBe(header.length);
    expect(tensors.get("b")).toEqual({ name: "b", dtype: "F16", shape: [1], begin: dataBytes - 2, end: dataBytes });
    expect(decodeFloat32(Uint8Array.of(0, 0x3c), "F16")).toEqual(Float32Array.of(1));
  });
});

describe("a header", () => {
  test("may list tensors in any order; names come by offset", () => {
    const file = parseSafetensors(
      fileOf(
        `{"b":${entry("U8", "[1]", "[2,3]")},"a":${entry("U8", "[2]", "[0,2]")},"none":${entry("U8", "[0]", "[2,2]")}}`,
        3,
      ),
    );
    expect(file.names).toEqual(["a", "none", "b"]);
  });

  test("may hold white space, escapes and any name, __proto__ too", () => {
    const file = parseSafetensors(
      fileOf(
        (
          ` { "__proto__" : ${entry("U8", "[ 1 ]", "[0,\n1]")},"__metadata__":{"__proto__":"x"},` +
          `"\\u0061\\n":${entry("F\\u0036\\u0034", "[0]", "[1,1]")}}\t `
        ).trimStart(),
        1,
      ),
    );
    expect(file.names).toEqual(["__proto__", "a\n"]);
    expect(Object.entries(file.metadata)).toEqual([["__proto__", "x"]]);
    expect(file.info("a\n").dtype).toBe("F64");
    expect(fault(() => file.info("toString")).code).toBe("tensor-not-found");
  });
});

test("a damaged file parses to tensors that tile its data, or throws a SafetensorsError", () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(mutatedFile, (file) => {
      outcomes.add(checkMutated(file));
    }),
    { numRuns: 2000 },
  );
  expect(outcomes).toContain("parsed");
  expect(outcomes.size).toBeGreaterThan(10);
});
