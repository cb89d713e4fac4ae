/** GGUF files of small models: the bits and ids of the folder with the same weights, and what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { allWeights } from "early-exits/model";
import { createReferenceDevice, PackedMatrix } from "early-exits/tensor";
import { createDevice, readModel, readTokenizer } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { concat, u32, VALUE } from "../../support/gguf/bytes.js";
import { number, real, string } from "../../support/gguf/convert.js";
import { type GgufModel, ggufModel, type GgufModelOptions } from "../../support/gguf/model.js";
import { expectCode } from "../../support/expect-code.js";
import { scratch } from "../../support/scratch.js";

const temporary = scratch();
let folders = 0;

/** Writes files to a new folder and returns its path. */
function write(files: Readonly<Record<string, string | Uint8Array>>) {
  const folder = temporary.path(`folder-${++folders}`);
  mkdirSync(folder);
  for (const [name, contents] of Object.entries(files)) writeFileSync(`${folder}/${name}`, contents);
  return folder;
}

const load = (path: string) => readModel(path, { device: createReferenceDevice(), dtype: "float32" });
const loadGguf = async (model: GgufModel | Promise<GgufModel>) => {
  const { files, name } = await model;
  return load(`${write(files)}/${name}`);
};
const ids = [5, 17, 280, 0, 42, 99, 7];
const sample = "The river holds 12345 winters; <|im_start|>one people's naïve 🙂\n\n  end";

describe("a GGUF file gives the logits of the folder with the same weights, bit for bit", () => {
  const cases: Readonly<Record<string, GgufModelOptions>> = {
    F32: {},
    F16: { type: "F16" },
    BF16: { type: "BF16" },
    Q8_0: { type: "Q8_0" },
    Q4_0: { type: "Q4_0" },
    "Q8_0 in three files": { type: "Q8_0", parts: 3 },
    "tied embeddings": { config: { tie_word_embeddings: true } },
    "llama with biases": { config: { attention_bias: true, mlp_bias: true } },
    "qwen2, whose biases are on query, key and value": { config: { model_type: "qwen2" }, type: "Q4_0" },
  };
  it.each(Object.entries(cases))("%s", async (_name, options) => {
    const model = await ggufModel(options);
    const [fromGguf, fromFolder] = await Promise.all([loadGguf(model), load(write(model.folder))]);
    expect(fromGguf.config).toEqual(fromFolder.config);
    expect(fromGguf.unusedTensors).toEqual([]);
    expect(await fromGguf.logits(ids)).toEqual(await fromFolder.logits(ids));
    expect(fromGguf.tokenizer.encode(sample)).toEqual(fromFolder.tokenizer.encode(sample));
    expect(fromGguf.tokenizer.decode(fromGguf.tokenizer.encode(sample))).toBe(
      fromFolder.tokenizer.decode(fromFolder.tokenizer.encode(sample)),
    );
    expect(await fromGguf.hash()).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    ["F32", "float32"],
    ["F16", "float32"],
    ["BF16", "bfloat16"],
    ["Q8_0", "int8"],
    ["Q4_0", "int4-centred"],
  ] as const)(
    "%s blocks are kept as %s matrices of the very same values unless asked otherwise, on every device",
    async (type, dtype) => {
      const { files, name } = await ggufModel({ type });
      const path = `${write(files)}/${name}`;
      const plain = await load(path);
      const stored = await readModel(path, { device: createReferenceDevice() });
      const wasm = await createDevice("wasm");
      const fast = await readModel(path, { device: wasm });
      expect(stored.dtype).toBe("stored");
      const dtypes = new Set<string>();
      const [plains, storeds, fasts] = [plain, stored, fast].map(({ weights }) => allWeights(weights));
      for (const [i, weight] of plains!.entries()) {
        const values = await weight.read();
        const same = (other: Float32Array) => other.every((value, k) => value === values[k]);
        expect([same(await storeds![i]!.read()), same(await fasts![i]!.read())]).toEqual([true, true]);
        if (weight instanceof PackedMatrix) dtypes.add((storeds![i] as PackedMatrix).storage.dtype);
      }
      expect([...dtypes]).toEqual([dtype]);
      await wasm.dispose();
    },
  );

  it("and the tokenizer alone, without the weights", async () => {
    const { files, name, folder } = await ggufModel();
    const fromGguf = await readTokenizer(`${write(files)}/${name}`);
    expect(fromGguf!.encode(sample)).toEqual((await readTokenizer(write(folder)))!.encode(sample));
  });
});

describe("the metadata", () => {
  it("may lack a tokenizer", async () => {
    const model = await ggufModel({ pairs: { "tokenizer.ggml.model": string("no_vocab") } });
    expect(await readTokenizer(`${write(model.files)}/${model.name}`)).toBeUndefined();
  });

  it("may scale rotary positions linearly", async () => {
    for (const pairs of [
      { "llama.rope.scaling.type": string("linear"), "llama.rope.scaling.factor": real(4) },
      { "llama.rope.scaling.factor": real(4) },
      { "llama.rope.scale_linear": real(4) },
    ]) {
      const { config } = await loadGguf(ggufModel({ pairs }));
      expect(config.rotary).toMatchObject({ scaling: { ropeType: "linear", factor: 4 } });
    }
  });

  it("may begin every text with a token, and end turns with a second one", async () => {
    const pairs = {
      "tokenizer.ggml.add_bos_token": [VALUE.bool, Uint8Array.of(1)],
      "tokenizer.ggml.eot_token_id": number(1),
    } as const;
    const { tokenizer, config } = await loadGguf(ggufModel({ pairs }));
    expect(tokenizer.encode("The")[0]).toBe(0);
    expect(config.eosTokenIds).toEqual([0, 1]);
  });
});

describe("what is refused", () => {
  const noStrings = [VALUE.array, concat(u32(VALUE.uint32), new Uint8Array(8))] as const;
  it.each([
    ["architecture-unknown", "general.architecture", string("mamba"), /"mamba" is not supported as GGUF/],
    ["gguf-tokenizer", "tokenizer.ggml.model", string("bert"), /is "bert"; supported are gpt2, llama/],
    ["gguf-tokenizer", "tokenizer.ggml.pre", string("viking"), /pre is "viking"; supported are gpt-2, .*stablelm2/],
    ["gguf-metadata", "tokenizer.ggml.token_type", noStrings, /token_type/],
    ["gguf-metadata", "tokenizer.ggml.tokens", string("abc"), /should be an array of strings/],
    ["gguf-metadata", "tokenizer.ggml.tokens", noStrings, /should be an array of strings/],
    ["gguf-metadata", "llama.embedding_length", string("64"), /should be a number, found "64"/],
    ["gguf-blocks", "llama.block_count", number(1e9), /"llama.block_count" is 1000000000, but it has 30/],
    ["gguf-unused-tensor", "llama.block_count", number(2), /no place for the tensor "model.layers.2/],
    ["tensor-shape", "llama.feed_forward_length", number(128), /should be \[128, 64\]/],
  ] as const)("%s: %s", (code, key, value, message) =>
    expectCode(loadGguf(ggufModel({ pairs: { [key]: value } })), code, message),
  );

  it("a split model with a part missing, opened at its second part, or renamed", async () => {
    const { files } = await ggufModel({ parts: 3 });
    const [first, second, third] = Object.keys(files) as [string, string, string];
    const missing = load(`${write({ [first]: files[first]!, [third]: files[third]! })}/${first}`);
    await expect(missing).rejects.toThrow(/the model's part small-00002-of-00003\.gguf is missing; download it/);
    await expect(missing).rejects.toMatchObject({ code: "gguf-part-missing", details: { part: second } });
    await expectCode(load(`${write(files)}/${second}`), "gguf-split");
    await expect(load(`${write({ "renamed.gguf": files[first]! })}/renamed.gguf`)).rejects.toThrow(
      /split into 3 files; open the first one, named "…-00001-of-00003\.gguf"/,
    );
  });

  it("a split model with a tensor in two parts", async () => {
    const { files } = await ggufModel({ parts: 2 });
    const [first, second] = Object.keys(files) as [string, string];
    const loading = load(`${write({ [first]: files[first]!, [second]: files[first]! })}/${first}`);
    await expectCode(loading, "gguf-duplicate-tensor");
  });

  it("a file that is not there, or is no GGUF file", async () => {
    await expectCode(load(temporary.path("none.gguf")), "file-missing");
    await expect(load(`${write({ "x.gguf": "{}" })}/x.gguf`)).rejects.toMatchObject({ name: "GgufError" });
  });
});
