/**
 * Facts about safetensors files: golden bytes, round trips, the 16-bit floats over all their patterns, no copies where
 * none are needed, and every way of being malformed (the table of those makes the file long). Independent formulas
 * stand in for a reference: powers of two for decoding, nearest neighbours for rounding.
 */
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { SafetensorsError } from "../../../src/errors.js";
import type { SafetensorsDtype, SafetensorsErrorCode, SafetensorsInput } from "../../../src/tensor/formats/index.js";
import {
  bf16ToFloat32,
  decodeFloat32,
  f16ToFloat32,
  float32ToBf16,
  float32ToF16,
  parseSafetensors,
  parseSafetensorsHeader,
  safetensorsDtypes,
  safetensorsErrorCodes,
  safetensorsHeaderLength,
  serializeSafetensors,
} from "../../../src/tensor/formats/index.js";
import { checkMutated, mutatedFile } from "../../support/safetensors-mutations.js";

/** A file from its header's text: the one writer here that can write nonsense. */
function fileOf(header: string | Uint8Array, dataBytes = 0): Uint8Array {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setUint32(0, json.length, true);
  file.set(json, 8);
  return file;
}

function fault(run: () => unknown): SafetensorsError {
  try {
    run();
  } catch (error) {
    if (error instanceof SafetensorsError) return error;
    throw error;
  }
  throw new Error("expected a SafetensorsError, nothing was thrown");
}

const entry = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

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
      { dtype, shape: [4], data: new Uint8Array(32).subarray(0, rawBytes(dtype, 4)) },
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
      const shape = Number.isInteger(rawBytes(dtype, count(any))) ? any : [...any, 4];
      const length = rawBytes(dtype, count(shape));
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }));
    });

  test("keeps names, dtypes, shapes, bytes and metadata", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: "binary" }), anyTensor)),
        fc.dictionary(fc.string(), fc.string()),
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
      ),
      { numRuns: 300 },
    );
  });

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

describe("16-bit floats", () => {
  const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
  /** The value of a pattern from the definition: sign, exponent field, mantissa field. */
  const valueOf = (pattern: number, exponentBits: number): number => {
    const mantissaBits = 15 - exponentBits;
    const bias = 2 ** (exponentBits - 1) - 1;
    const sign = pattern >= 0x8000 ? -1 : 1;
    const field = (pattern & 0x7fff) >> mantissaBits;
    const fraction = (pattern % 2 ** mantissaBits) / 2 ** mantissaBits;
    if (field === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
    return field === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (field - bias);
  };
  const kinds = [
    { name: "F16", exponentBits: 5, decode: f16ToFloat32, encode: float32ToF16 },
    { name: "BF16", exponentBits: 8, decode: bf16ToFloat32, encode: float32ToBf16 },
  ] as const;

  test.each(kinds)("$name decodes all 65536 patterns as the definition says", ({ exponentBits, decode }) => {
    const values = decode(patterns);
    const wrong = [...patterns].filter((pattern) => !Object.is(values[pattern], valueOf(pattern, exponentBits)));
    expect(wrong).toEqual([]);
  });

  test.each(kinds)(
    "$name gives back every pattern; a NaN comes back quiet with its sign",
    ({ exponentBits, decode, encode }) => {
      const back = encode(decode(patterns));
      const quiet = 1 << (14 - exponentBits);
      const wrong = [...patterns].filter(
        (pattern) => back[pattern] !== (Number.isNaN(valueOf(pattern, exponentBits)) ? pattern | quiet : pattern),
      );
      expect(wrong).toEqual([]);
    },
  );

  test.each(kinds)(
    "$name rounds to nearest, ties to even, between any two neighbours",
    ({ exponentBits, decode, encode }) => {
      const infinity = ((2 ** exponentBits - 1) << (15 - exponentBits)) >>> 0;
      const finite = decode(patterns.slice(0, infinity));
      const wrong: number[] = [];
      for (let low = 0; low < infinity; low++) {
        // beyond the largest, the next power of two stands for infinity
        const above = low + 1 < infinity ? finite[low + 1]! : 2 ** (2 ** (exponentBits - 1));
        const middle = Math.fround((finite[low]! + above) / 2); // exact: a float32 has bits to spare
        const bits = new Uint32Array(Float32Array.of(middle, middle, -middle).buffer);
        bits[0]! -= 1; // the float32 below the tie, and below, the one above
        const [under, tie, negative] = encode(new Float32Array(bits.buffer));
        bits[0]! += 2;
        const over = encode(new Float32Array(bits.buffer))[0];
        const even = low % 2 === 0 ? low : low + 1;
        if (under !== low || tie !== even || negative !== (even | 0x8000) || over !== low + 1) wrong.push(low);
      }
      expect(wrong).toEqual([]);
    },
  );

  test("F16 overflows from 65520 on, and BF16 at half a unit beyond its largest", () => {
    expect([...float32ToF16(Float32Array.of(65519.996, 65520, -65520, 3e38))]).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0x7c00,
    ]);
    expect([...float32ToBf16(Float32Array.of(3.4028235e38, -3.4028235e38, 3.3895e38))]).toEqual([
      0x7f80, 0xff80, 0x7f7f,
    ]);
  });

  test("a NaN whose payload lies in the bits cut off stays NaN", () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...float32ToBf16(values)]).toEqual([0x7fc0, 0xffc0]);
    expect([...float32ToF16(values)]).toEqual([0x7e00, 0xfe00]);
  });

  test("any float32 rounds to a neighbour no farther than the others", () => {
    for (const { decode, encode } of kinds) {
      fc.assert(
        fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (x) => {
          const pattern = encode(Float32Array.of(x))[0]!;
          const [value, below, above] = decode(Uint16Array.of(pattern, pattern - 1, pattern + 1)) as unknown as [
            number,
            number,
            number,
          ];
          const off = (y: number): number => (Number.isNaN(y) ? Infinity : Math.abs(y - x));
          if (Number.isFinite(value)) expect(off(value)).toBeLessThanOrEqual(Math.min(off(below), off(above)));
        }),
        { numRuns: 500 },
      );
    }
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

  test("lists every published dtype", () => {
    for (const dtype of safetensorsDtypes) {
      const bytes = rawBytes(dtype, 4);
      expect(parseSafetensors(fileOf(`{"t":${entry(dtype, "[4]", `[0,${bytes}]`)}}`, bytes)).bytes("t").length).toBe(
        bytes,
      );
    }
    expect(safetensorsDtypes.length).toBe(22);
  });

  test("of deep nesting is refused where it starts, without a deep stack", () => {
    for (const text of [
      `{"a":${"[".repeat(1e6)}`,
      `{"a":${'{"dtype":'.repeat(1e6)}`,
      `{"__metadata__":{"a":${"[".repeat(1e6)}`,
    ]) {
      expect(["field-type", "metadata-type"]).toContain(fault(() => parseSafetensors(fileOf(text))).code);
    }
  });
});

describe("a malformed file has its own code:", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });
  const one =
    (dtype: string, shape: string, offsets: string, dataBytes = 4) =>
    () =>
      parseSafetensors(fileOf(`{"a":${entry(dtype, shape, offsets)}}`, dataBytes));
  const two =
    (first: string, second: string, dataBytes = 8) =>
    () =>
      parseSafetensors(fileOf(`{"a":${entry("U8", "[4]", first)},"b":${entry("U8", "[4]", second)}}`, dataBytes));
  const header =
    (text: string, dataBytes = 0) =>
    () =>
      parseSafetensors(fileOf(text, dataBytes));
  const tensors = (input: Record<string, SafetensorsInput>, metadata?: Record<string, string>) => () =>
    serializeSafetensors(input, metadata);
  const length = (low: number, high: number, fileSize: number) => () =>
    safetensorsHeaderLength(new Uint8Array(Uint32Array.of(low, high).buffer), fileSize);
  const four = new Uint8Array(4);

  const cases: Record<Exclude<SafetensorsErrorCode, "big-endian-host">, readonly (() => unknown)[]> = {
    "cannot-decode": [
      () => decodeFloat32(four, "F8_E4M3"),
      () =>
        parseSafetensors(serializeSafetensors({ a: { dtype: "C64", shape: [0], data: new Uint8Array(0) } })).array("a"),
    ],
    "data-type": [
      tensors({ a: { dtype: "I32", shape: [1], data: new Float32Array(1) } }),
      tensors({ a: { dtype: "F4", shape: [8], data: new Int8Array(4) } }),
    ],
    "duplicate-key": [
      header(`{"a":${entry("U8", "[0]", "[0,0]")},"a":${entry("U8", "[0]", "[0,0]")}}`),
      header(`{"a":${entry("U8", "[0]", "[0,0]")},"\\u0061":${entry("U8", "[0]", "[0,0]")}}`),
      header('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
      header('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"sh\\u0061pe":[0]}}'),
      header('{"__metadata__":{"a":"1","a":"1"}}'),
      header('{"__metadata__":{},"__metadata__":{}}'),
      header(`{"__proto__":${entry("U8", "[0]", "[0,0]")},"__proto__":${entry("U8", "[0]", "[0,0]")}}`),
      () =>
        serializeSafetensors([
          ["a", { dtype: "U8", shape: [4], data: four }],
          ["a", { dtype: "U8", shape: [4], data: four }],
        ]),
      tensors({ __metadata__: { dtype: "U8", shape: [4], data: four } }),
    ],
    "field-type": [
      header('{"a":1}'),
      header('{"a":[]}'),
      header('{"a":null}'),
      header('{"a":{"dtype":1,"shape":[],"data_offsets":[0,0]}}'),
      one("U8", '"4"', "[0,4]"),
      one("U8", "[4]", "{}"),
      one("U8", "[4]", "[0]"),
      one("U8", "[4]", "[0,4,4]"),
      one("U8", "[4]", "[]"),
    ],
    "file-too-short": [() => parseSafetensors(new Uint8Array(7)), () => parseSafetensors(new ArrayBuffer(0))],
    "header-past-end": [length(3, 0, 10), () => parseSafetensors(fileOf("{}").subarray(0, 9))],
    "header-start": [header(""), header(" {}"), header("[]"), header("\uFEFF{}")],
    "header-too-large": [
      length(100_000_001, 0, 2 ** 40),
      length(0, 1, 2 ** 40),
      length(0xffffffff, 0xffffffff, 2 ** 40),
    ],
    "invalid-json": [
      header("{"),
      header("{}{}"),
      header('{"a"}'),
      header('{"a":}'),
      header("{a:1}"),
      header('{"__metadata__":{},}'),
      header('{"a'),
      header('{"a\n":{}}'),
      header('{"\\x":{}}'),
      header('{"\\ud800":{}}'),
      header('{"a":{"dtype":what'),
      one("U8", "[01]", "[0,4]"),
      one("U8", "[4,]", "[0,4]"),
      one("U8", "[1.]", "[0,4]"),
      one("U8", "[-]", "[0,4]"),
      one("U8", "[4 4]", "[0,4]"),
      header("{}\0"),
    ],
    "invalid-name": [tensors({ "\ud800": { dtype: "U8", shape: [4], data: four } }), tensors({}, { a: "\udc00" })],
    "invalid-utf8": [() => parseSafetensors(fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22)))],
    "metadata-type": [
      header('{"__metadata__":null}'),
      header('{"__metadata__":{"a":1}}'),
      header('{"__metadata__":{"a":{}}}'),
      tensors({}, { a: 1 as unknown as string }),
    ],
    "missing-field": [
      header('{"a":{}}'),
      header('{"a":{"dtype":"U8","shape":[0]}}'),
      header('{"a":{"dtype":"U8","data_offsets":[0,0]}}'),
      header('{"a":{"shape":[0],"data_offsets":[0,0]}}'),
    ],
    "not-an-integer": [
      one("U8", "[-1]", "[0,4]"),
      one("U8", "[4.5]", "[0,4]"),
      one("U8", "[4.0]", "[0,4]"),
      one("U8", "[4e0]", "[0,4]"),
      one("U8", '["4"]', "[0,4]"),
      one("U8", "[[4]]", "[0,4]"),
      one("U8", "[null]", "[0,4]"),
      one("U8", "[4]", "[0,9007199254740992]"),
      one("U8", "[4]", "[-0,4]"),
      one("U8", "[4]", "[0,1e999]"),
      tensors({ a: { dtype: "U8", shape: [1.5], data: four } }),
    ],
    "offsets-gap": [one("U8", "[3]", "[1,4]"), two("[0,4]", "[5,9]", 9)],
    "offsets-overlap": [two("[0,4]", "[3,7]", 7), two("[0,4]", "[0,4]", 4)],
    "offsets-past-end": [one("U8", "[5]", "[0,5]"), two("[0,4]", "[4,8]", 7)],
    "offsets-reversed": [one("U8", "[4]", "[4,0]")],
    "partial-byte": [one("F4", "[3]", "[0,2]", 2), one("F6_E2M3", "[2]", "[0,2]", 2)],
    "prefix-too-short": [
      () => safetensorsHeaderLength(new Uint8Array(7), 100),
      () => parseSafetensorsHeader(fileOf("{}").subarray(0, 9), 10),
    ],
    "shape-overflow": [
      one("U8", "[9007199254740991,9007199254740991]", "[0,4]"),
      one("F64", "[9007199254740991]", "[0,4]"),
      one("U8", "[4294967296,4294967296,0]", "[0,0]", 0),
    ],
    "size-mismatch": [
      one("U8", "[5]", "[0,4]"),
      one("F64", "[1]", "[0,4]"),
      () => decodeFloat32(four, "F64"),
      tensors({ a: { dtype: "F32", shape: [2], data: new Float32Array(1) } }),
    ],
    "tensor-not-found": [
      () => parseSafetensors(fileOf("{}")).info("a"),
      () => parseSafetensors(fileOf("{}")).bytes("a"),
      () => parseSafetensors(fileOf("{}")).float32("a"),
    ],
    "trailing-bytes": [one("U8", "[3]", "[0,3]"), header("{}", 1)],
    "unexpected-field": [
      header('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"extra":1}}'),
      header('{"a":{"__proto__":1}}'),
    ],
    "unknown-dtype": [
      one("F33", "[1]", "[0,4]"),
      one("f32", "[1]", "[0,4]"),
      one("constructor", "[1]", "[0,4]"),
      tensors({ a: { dtype: "F33" as SafetensorsDtype, shape: [1], data: four } }),
      () => decodeFloat32(four, "F33" as SafetensorsDtype),
    ],
  };

  test.each(Object.entries(cases))("%s", (code, runs) => {
    expect(runs.map((run) => fault(run).code)).toEqual(runs.map(() => code));
  });

  test("big-endian-host", async () => {
    vi.stubGlobal(
      "Uint16Array",
      class {
        readonly buffer = Uint8Array.of(0, 1).buffer;
      },
    );
    vi.resetModules();
    const fresh = await import("../../../src/tensor/formats/index.js");
    expect(() => fresh.parseSafetensors(fileOf("{}"))).toThrow(
      expect.objectContaining({ code: "big-endian-host" }) as Error,
    );
  });

  test("and the codes are all tested here", () => {
    expect([...Object.keys(cases), "big-endian-host"].sort()).toEqual([...safetensorsErrorCodes].sort());
  });

  test("a missing name lists near ones", () => {
    const t = { dtype: "U8", shape: [0], data: new Uint8Array(0) } as const;
    const file = parseSafetensors(
      serializeSafetensors({ "transformer.wte.weight": t, "transformer.wpe.weight": t, "h.0.bias": t }),
    );
    expect(fault(() => file.float32("wte.weight")).details).toEqual({
      name: "wte.weight",
      near: ["transformer.wte.weight", "transformer.wpe.weight"],
    });
    expect(fault(() => file.float32("wte.weight")).message).toContain('near names: "transformer.wte.weight"');
  });
});

test("a damaged file parses to tensors that tile its data, or throws a SafetensorsError", () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(mutatedFile, (file) => {
      outcomes.add(checkMutated({ parseSafetensors, SafetensorsError, errorCodes: safetensorsErrorCodes }, file));
    }),
    { numRuns: 2000 },
  );
  expect(outcomes).toContain("parsed");
  expect(outcomes.size).toBeGreaterThan(10);
});

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function rawBytes(dtype: SafetensorsDtype, elements: number): number {
  const bits = dtype.startsWith("F4")
    ? 4
    : dtype.startsWith("F6_")
      ? 6
      : /8/.test(dtype) || dtype === "BOOL"
        ? 8
        : Number(/\d+/.exec(dtype)![0]);
  return (bits * elements) / 8;
}
