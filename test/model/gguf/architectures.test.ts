/**
 * Golden checkpoints of every family as GGUF files, converted as llama.cpp does it: the bits of the folder. And what
 * only some files have: fused or scaled parts.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describeCheckpoint } from "../../../src/model/files/describe.js";
import { loadGguf, openGguf } from "../../../src/model/gguf/load-gguf.js";
import { loadModel, memorySource } from "early-exits/model";
import { createDevice, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../support/expect-code.js";
import { concat, u32, VALUE } from "../../support/gguf/bytes.js";
import { type ConvertOptions, convertToGguf, number, real, string } from "../../support/gguf/convert.js";
import type { PlainTensor } from "../../support/gguf/stored.js";
import { sumOf, times } from "../../support/lists.js";
import { randomIds, smallCheckpoint, smallConfigs } from "../../support/models.js";

const device = await createDevice("wasm");
type Config = Readonly<Record<string, unknown>>;

const golden = (name: string) => `test/golden/${name}`;
const configOf = (name: string) => JSON.parse(readFileSync(`${golden(name)}/config.json`, "utf8")) as Config;

function checkpointOf(name: string) {
  const files =
    name === "llama-tiny-bf16-sharded"
      ? ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
      : ["model.safetensors"];
  return files.map((file) => readFileSync(`${golden(name)}/${file}`));
}

const file = (bytes: Uint8Array) => ({
  path: "converted.gguf",
  size: bytes.length,
  read: (begin: number, end: number) => Promise.resolve(bytes.slice(begin, end)),
});
const fromGguf = (name: string, options?: ConvertOptions) =>
  loadGguf(file(convertToGguf(configOf(name), checkpointOf(name), options)), { device, dtype: "float32" });

/** The config of a folder with other fields. */
const fromFolder = (name: string, fields: Config = {}) =>
  loadModel({ ...configOf(name), ...fields }, memorySource(checkpointOf(name)[0]!), { device });

const ids = [5, 17, 180, 0, 42, 99, 7, 11, 3];
const names = readdirSync(golden("")).filter((name) => !name.endsWith(".json"));

describe.each(names)("%s as a GGUF file", (name) => {
  it("has the folder's bits", async () => {
    const converted = file(convertToGguf(configOf(name), checkpointOf(name)));
    const model = await loadGguf(converted, { device, dtype: "float32" });
    expect(model.unusedTensors).toEqual([]);
    expect(await model.logits(ids)).toEqual(await (await readModel(golden(name), { device })).logits(ids));
    const { configJson, source } = await openGguf(converted);
    expect(describeCheckpoint(configJson, source)).toMatchObject({ unused: [], missing: [], misshapen: [] });
  });
});

const logitsOf = async (name: string, options: ConvertOptions) => (await fromGguf(name, options)).logits(ids);

/** Adds a tensor, by default a vector. */
const vector =
  (name: string, values: readonly number[], shape = [values.length]) =>
  (tensors: readonly PlainTensor[]) => [...tensors, { name, shape, data: Float32Array.from(values) }];

describe("parts that only some files have", () => {
  it("query, key and value of Phi-2 in one matrix", async () => {
    const edit = (tensors: readonly PlainTensor[]) => {
      const rest = tensors.filter(({ name }) => !/attn_[qkv]\./.test(name));
      const fused = tensors.flatMap((query) => {
        if (!query.name.includes("attn_q.")) return [];
        const parts = ["q", "k", "v"].map((part) =>
          tensors.find(({ name }) => name === query.name.replace("attn_q", `attn_${part}`))!,
        );
        const rows = sumOf(parts, ({ shape }) => shape[0]!);
        return [
          {
            name: query.name.replace("attn_q", "attn_qkv"),
            shape: [rows, ...query.shape.slice(1)],
            data: Float32Array.from(parts.flatMap(({ data }) => [...data])),
          },
        ];
      });
      return [...rest, ...fused];
    };
    expect(await logitsOf("phi-tiny", { edit })).toEqual(await logitsOf("phi-tiny", {}));
  });

  it("the number of blocks from one that attends to all to the next, for Gemma 3", async () => {
    const pattern = (pairs: ConvertOptions["pairs"]) => logitsOf("gemma3-tiny", { pairs: pairs! });
    const three = await pattern({ "attention.sliding_window_pattern": number(3) });
    expect(three).toEqual(await logitsOf("gemma3-tiny", {}));
    expect(await pattern({ "attention.sliding_window_pattern": number(2) })).not.toEqual(three);
  });

  it("62 blocks: Gemma 3 27B, whose queries are divided by the root of hidden size / heads", async () => {
    const blocks = { num_hidden_layers: 62, layer_types: Array(62).fill("full_attention"), rope_theta: 1e6 };
    const config = { ...smallConfigs["gemma3_text"], ...blocks, query_pre_attn_scalar: 24 / 4 }; // for heads of 8
    const checkpoint = await smallCheckpoint(config);
    const model = await loadGguf(file(convertToGguf(config, [checkpoint])), { device });
    const folder = await loadModel(config, memorySource(checkpoint), { device });
    const some = randomIds(8, 61, 1);
    expect(await model.logits(some)).toEqual(await folder.logits(some));
  });

  it("Llama 3's factors: those of the folder's rope_scaling", async () => {
    const scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    const folder = await fromFolder("mistral-tiny", { model_type: "llama", rope_scaling: scaling });
    const dim = folder.config.rotary!.dim;
    // As the converter computes them: the quotients of the plain and the scaled frequencies.
    const factors = times(dim / 2, (i) => {
      const wavelength = 2 * Math.PI * 10_000 ** ((2 * i) / dim);
      if (wavelength < 64 / 4) return 1;
      if (wavelength > 64 / 1) return 8;
      const smooth = (64 / wavelength - 1) / (4 - 1);
      return 1 / ((1 - smooth) / 8 + smooth);
    });
    const options = {
      edit: vector("rope_freqs.weight", factors),
      pairs: { "attention.sliding_window": number(0) },
    };
    const model = await fromGguf("mistral-tiny", options);
    expect(model.config.modelType).toBe("llama");
    expect(model.unusedTensors).toEqual([]);
    const [ours, theirs] = [await model.logits(ids), await folder.logits(ids)];
    ours.forEach((logit, i) => expect(Math.abs(logit - theirs[i]!)).toBeLessThan(1e-5)); // factors are float32
    expect(ours).not.toEqual(await logitsOf("mistral-tiny", { pairs: options.pairs }));
  });

  it("Phi-3's factors: those of the folder's rope_scaling, up to the original context", async () => {
    const short = times(8, (i) => Math.fround(1 + i / 10));
    const long = short.map((factor) => 4 * factor);
    const attention = Math.fround(1.19);
    const folder = await fromFolder("phi3-tiny", {
      original_max_position_embeddings: 32,
      rope_parameters: undefined,
      rope_scaling: { type: "longrope", short_factor: short, long_factor: long, attention_factor: attention },
    });
    const model = await fromGguf("phi3-tiny", {
      edit: (tensors) => vector("rope_factors_long.weight", long)(vector("rope_factors_short.weight", short)(tensors)),
      pairs: {
        "rope.scaling.original_context_length": number(32),
        "rope.scaling.attn_factor": real(attention),
      },
    });
    expect(model.config.maxPositionEmbeddings).toBe(32);
    expect(model.config.rotary).toEqual(folder.config.rotary);
    expect(await model.logits(ids)).toEqual(await folder.logits(ids));
  });

  it("YaRN: that of the folder's rope_scaling", async () => {
    const folder = await fromFolder("qwen3-tiny", {
      rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 },
    });
    const model = await fromGguf("qwen3-tiny", {
      pairs: {
        "rope.scaling.type": string("yarn"),
        "rope.scaling.factor": real(4),
        "rope.scaling.original_context_length": number(32),
      },
    });
    expect(model.config.rotary).toEqual(folder.config.rotary);
    expect(await model.logits(ids)).toEqual(await folder.logits(ids));
  });
});

describe("what is refused", () => {
  const scaling = { "rope.scaling.type": string("linear"), "rope.scaling.factor": real(2) };
  const factors = (count: number, shape?: number[]) => ({
    edit: vector("rope_freqs.weight", Array<number>(count).fill(2), shape),
  });
  const pattern = [VALUE.array, concat(u32(VALUE.bool), u32(1), u32(0), Uint8Array.of(1))] as const;

  it.each<[string, string, ConvertOptions, string, string?]>([
    ["two scalings of rotary positions", "mistral-tiny", { ...factors(8), pairs: scaling }, "gguf-rope-factors"],
    [
      "factors that are not one for each rotated pair",
      "mistral-tiny",
      factors(7),
      "config-field",
      "a list of 8 positive numbers",
    ],
    ["factors that are no vector", "mistral-tiny", factors(8, [2, 4]), "tensor-shape"],
    [
      "OLMo 3, which has sliding windows",
      "olmo2-tiny",
      { pairs: { "attention.sliding_window": number(8) } },
      "config-field",
      "only OLMo 2 is supported",
    ],
    ["a hidden size that no tensor has", "qwen3-tiny", { pairs: { embedding_length: number(2 ** 31) } }, "gguf-sizes"],
    ["heads that no tensor has", "qwen3-tiny", { pairs: { "attention.head_count": number(2 ** 31) } }, "gguf-sizes"],
    [
      "a pattern of sliding windows that is not one entry per block",
      "gemma3-tiny",
      { pairs: { "attention.sliding_window_pattern": pattern } },
      "gguf-metadata",
      "should be an array of 6 booleans",
    ],
  ])("%s", (_, name, options, code, says) => expectCode(fromGguf(name, options), code, says));
});
