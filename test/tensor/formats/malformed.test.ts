/** Every way for a safetensors file, or for the input of the writer, to be malformed, and the code of its error. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeFloat32, type SafetensorsDtype } from "../../../src/tensor/formats/dtype.js";
import { parseSafetensors } from "../../../src/tensor/formats/safetensors.js";
import { parseSafetensorsHeader, safetensorsHeaderLength } from "../../../src/tensor/formats/header.js";
import { type SafetensorsErrorCode, safetensorsErrorCodes } from "../../../src/tensor/formats/errors.js";
import { type SafetensorsInput, serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { expectCode } from "../../support/expect-code.js";
import { entry, fault, fileOf } from "./safetensors-files.js";

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
  const shaped = (shape: string) => one("U8", shape, "[0,4]");
  const typed = (dtype: string) => one(dtype, "[1]", "[0,4]");
  const placed = (offsets: string) => one("U8", "[4]", offsets);
  const four = new Uint8Array(4);
  const bytes = { dtype: "U8", shape: [4], data: four } as const;
  const NONE = entry("U8", "[0]", "[0,0]");

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
      header(`{"a":${NONE},"a":${NONE}}`),
      header(`{"a":${NONE},"\\u0061":${NONE}}`),
      header('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
      header('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"sh\\u0061pe":[0]}}'),
      header('{"__metadata__":{"a":"1","a":"1"}}'),
      header('{"__metadata__":{},"__metadata__":{}}'),
      header(`{"__proto__":${NONE},"__proto__":${NONE}}`),
      () =>
        serializeSafetensors([
          ["a", bytes],
          ["a", bytes],
        ]),
      tensors({ __metadata__: bytes }),
    ],
    "field-type": [
      header('{"a":1}'),
      header('{"a":[]}'),
      header('{"a":null}'),
      header('{"a":{"dtype":1,"shape":[],"data_offsets":[0,0]}}'),
      shaped('"4"'),
      placed("{}"),
      placed("[0]"),
      placed("[0,4,4]"),
      placed("[]"),
      // Refused where it starts, without a deep stack.
      header(`{"a":${"[".repeat(1e6)}`),
      header(`{"a":${'{"dtype":'.repeat(9e5)}`),
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
      shaped("[01]"),
      shaped("[4,]"),
      shaped("[1.]"),
      shaped("[-]"),
      shaped("[4 4]"),
      header("{}\0"),
    ],
    "invalid-name": [tensors({ "\ud800": bytes }), tensors({}, { a: "\udc00" })],
    "invalid-utf8": [() => parseSafetensors(fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22)))],
    "metadata-type": [
      header('{"__metadata__":null}'),
      header('{"__metadata__":{"a":1}}'),
      header('{"__metadata__":{"a":{}}}'),
      header(`{"__metadata__":{"a":${"[".repeat(1e6)}`),
      tensors({}, { a: 1 as unknown as string }),
    ],
    "missing-field": [
      header('{"a":{}}'),
      header('{"a":{"dtype":"U8","shape":[0]}}'),
      header('{"a":{"dtype":"U8","data_offsets":[0,0]}}'),
      header('{"a":{"shape":[0],"data_offsets":[0,0]}}'),
    ],
    "not-an-integer": [
      shaped("[-1]"),
      shaped("[4.5]"),
      shaped("[4.0]"),
      shaped("[4e0]"),
      shaped('["4"]'),
      shaped("[[4]]"),
      shaped("[null]"),
      placed("[0,9007199254740992]"),
      placed("[-0,4]"),
      placed("[0,1e999]"),
      tensors({ a: { ...bytes, shape: [1.5] } }),
    ],
    "offsets-gap": [one("U8", "[3]", "[1,4]"), two("[0,4]", "[5,9]", 9)],
    "offsets-overlap": [two("[0,4]", "[3,7]", 7), two("[0,4]", "[0,4]", 4)],
    "offsets-past-end": [one("U8", "[5]", "[0,5]"), two("[0,4]", "[4,8]", 7)],
    "offsets-reversed": [placed("[4,0]")],
    "partial-byte": [one("F4", "[3]", "[0,2]", 2), one("F6_E2M3", "[2]", "[0,2]", 2)],
    "prefix-too-short": [
      () => safetensorsHeaderLength(new Uint8Array(7), 100),
      () => parseSafetensorsHeader(fileOf("{}").subarray(0, 9), 10),
    ],
    "shape-overflow": [
      shaped("[9007199254740991,9007199254740991]"),
      one("F64", "[9007199254740991]", "[0,4]"),
      one("U8", "[4294967296,4294967296,0]", "[0,0]", 0),
    ],
    "size-mismatch": [
      shaped("[5]"),
      typed("F64"),
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
      typed("F33"),
      typed("f32"),
      typed("constructor"),
      tensors({ a: { ...bytes, dtype: "F33" as SafetensorsDtype } }),
      () => decodeFloat32(four, "F33" as SafetensorsDtype),
    ],
  };

  test.each(Object.entries(cases))("%s", (code, runs) =>
    expect(runs.map((run) => fault(run).code)).toEqual(runs.map(() => code)),
  );

  test("big-endian-host", async () => {
    vi.stubGlobal(
      "Uint16Array",
      class {
        readonly buffer = Uint8Array.of(0, 1).buffer;
      },
    );
    vi.resetModules();
    const fresh = await import("../../../src/tensor/formats/safetensors.js");
    await expectCode(() => fresh.parseSafetensors(fileOf("{}")), "big-endian-host");
  });

  test("and the codes are all tested here", () =>
    expect([...Object.keys(cases), "big-endian-host"].sort()).toEqual([...safetensorsErrorCodes].sort()));

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
