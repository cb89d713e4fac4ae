/** The files of a repository that a model needs. */
import { describe, expect, it, test } from "vitest";
import { neededFiles, shardsOf } from "../../../src/model/hub/needed-files.js";

const repo = { repo: "org/name", revision: "main" };
const small = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

describe("a folder", () => {
  it("needs config, tokenizer and one set of weights, in this order", () => {
    const listing = ["README.md", "onnx/model.onnx", "model.safetensors", "pytorch_model.bin", "x.gguf", ...small];
    expect(neededFiles(repo, listing)).toEqual({ files: [...small, "model.safetensors"] });
  });

  it("needs the index of the shards if the weights are in several files", () => {
    const index = "model.safetensors.index.json";
    expect(neededFiles(repo, ["config.json", "model-00001-of-00002.safetensors", index])).toEqual({
      files: ["config.json", index],
      index,
    });
  });

  it("is refused if its weights cannot be loaded; the error names them", () => {
    expect(() => neededFiles(repo, ["config.json", "pytorch_model.bin"])).toThrow(
      "org/name: holds neither model.safetensors nor a GGUF file, but pytorch_model.bin; convert",
    );
    expect(() => neededFiles(repo, ["model.safetensors"])).toThrow(
      "has model.safetensors but no config.json; expected both",
    );
  });
});

describe("GGUF", () => {
  const split = ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"];

  it("is one file, or all files of a split model, whichever is named", () => {
    const listing = ["a.gguf", ...split];
    expect(neededFiles({ ...repo, file: "a.gguf" }, listing)).toEqual({ files: ["a.gguf"], gguf: "a.gguf" });
    for (const file of split) {
      expect(neededFiles({ ...repo, file }, listing)).toEqual({ files: split, gguf: split[0] });
    }
  });

  it("needs no file name if there is only one", () => {
    expect(neededFiles(repo, [...split, "mmproj-f16.gguf"])).toEqual({ files: split, gguf: split[0] });
    expect(() => neededFiles(repo, ["a.gguf", ...split])).toThrow(
      "org/name: holds 2 GGUF models; name one of them, as in org/name/a.gguf (a.gguf, b-00001-of-00002.gguf)",
    );
  });

  it("is refused if the repository lacks the file, or one of a split model", () => {
    expect(() => neededFiles({ ...repo, file: "c.gguf" }, ["a.gguf"])).toThrow(
      "org/name/c.gguf: found no such file; the repository holds a.gguf",
    );
    expect(() => neededFiles({ ...repo, file: split[0]! }, [split[0]!])).toThrow("found 1 of its 2 parts");
  });
});

describe("shards", () => {
  it("are the distinct names in weight_map", () => {
    const weight_map = { a: "m-1.safetensors", b: "m-2.safetensors", c: "m-1.safetensors" };
    expect(shardsOf("org/name", { weight_map })).toEqual(["m-1.safetensors", "m-2.safetensors"]);
  });

  test.each(["../x.safetensors", "/x.safetensors", "a/x.safetensors", "..\\x.safetensors", "C:x.safetensors", ".x", 7])(
    "are refused if the name is %j",
    (shard) =>
      expect(() => shardsOf("org/name", { weight_map: { a: shard } })).toThrow("Nothing was written under that name"),
  );

  test.each([undefined, null, [], {}, { weight_map: {} }, { weight_map: null }])(
    "are refused if the index is %j",
    (index) => expect(() => shardsOf("org/name", index)).toThrow("names no shard"),
  );
});
