/** Hugging Face checkpoints: golden numbers, options of every family, and errors that name what is wrong. */
import { readdirSync } from "node:fs";
import { loadModel } from "early-exits";
import { createReferenceDevice, parseSafetensors } from "early-exits/tensor";
import { type SafetensorsInput, serializeSafetensors } from "../../src/tensor/formats/serialize-safetensors.js";
import { memorySource, readModelConfig, serializeModel } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { describe, expect, it, vi } from "vitest";
import { sha256 } from "../../src/model/sha256.js";
import { expectGolden } from "../support/golden.js";
import { randomIds, smallCheckpoint, smallConfigs, smallModel } from "../support/models.js";
import { expectCode } from "../support/expect-code.js";

const golden = (name: string) => `test/golden/${name}`;
const device = createReferenceDevice();

type Tensors = Record<string, SafetensorsInput>;

/** A small checkpoint after an edit that renames, drops or replaces tensors. */
async function edited(config: Readonly<Record<string, unknown>>, edit: (tensors: Tensors) => void) {
  const file = parseSafetensors(await smallCheckpoint(config));
  const tensors: Tensors = Object.fromEntries(
    file.names.map((name) => [name, { dtype: "F32", shape: file.info(name).shape, data: file.float32(name) }]),
  );
  edit(tensors);
  return serializeSafetensors(tensors);
}

const rename = (tensors: Tensors, change: (name: string) => string) => {
  for (const name of Object.keys(tensors)) {
    const entry = tensors[name]!;
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a dictionary of tensors
    delete tensors[name];
    tensors[change(name)] = entry;
  }
};

const load = (config: unknown, bytes: Uint8Array) => loadModel(config, memorySource(bytes), { device });

describe("golden checkpoints", () => {
  describe.each(["reference", "wasm"] as const)("on %s", (backend) => {
    const folders = readdirSync(golden("")).filter((name) => !name.endsWith(".json"));
    it.each(folders)("%s has PyTorch's logits, hidden states and greedy tokens", async (name) =>
      expectGolden(golden(name), await createDevice(backend), /gpt|llama/.test(name) ? 2e-4 : 5e-4),
    );
  });
});

describe.each(Object.entries(smallConfigs))("%s", (_, config) => {
  it("is written and read back with the same logits, nothing unused", async () => {
    const model = await smallModel({ config });
    const again = await load(config, await serializeModel(model));
    const ids = randomIds(12, 61, 3);
    expect(await again.logits(ids)).toEqual(await model.logits(ids));
    expect(again.unusedTensors).toEqual([]);
    expect(await again.hash()).toBe(await model.hash());
  });
});

describe("variants of the layout", () => {
  it("loads tensors without the usual prefix", async () => {
    const ids = randomIds(8, 61, 5);
    for (const [name, prefix] of [
      ["gpt2", "transformer."],
      ["gpt_neox, parallel", "gpt_neox."],
      ["llama", "model."],
    ] as const) {
      const config = smallConfigs[name]!;
      const bytes = await edited(config, (tensors) =>
        rename(tensors, (key) => (key.startsWith(prefix) ? key.slice(prefix.length) : key)),
      );
      expect(await (await load(config, bytes)).logits(ids)).toEqual(await (await smallModel({ config })).logits(ids));
    }
  });

  it("reports unused tensors instead of failing", async () => {
    const config = smallConfigs["gpt2"]!;
    const bytes = await edited(
      config,
      (tensors) => (tensors["transformer.h.0.attn.bias"] = { dtype: "F32", shape: [1], data: Float32Array.of(1) }),
    );
    expect((await load(config, bytes)).unusedTensors).toEqual(["transformer.h.0.attn.bias"]);
  });

  it("loads float16 and bfloat16 checkpoints; bfloat16 weights of a bfloat16 file lose nothing", async () => {
    const config = smallConfigs["llama"]!;
    const model = await smallModel({ config });
    for (const dtype of ["F16", "BF16"] as const) {
      const bytes = await serializeModel(model, { dtype });
      const float32 = await load(config, bytes);
      const bfloat16 = await loadModel(config, memorySource(bytes), { device, dtype: "bfloat16" });
      const ids = randomIds(6, 61, 6);
      const logits = await float32.logits(ids);
      const exact = await model.logits(ids);
      const scale = exact.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      logits.forEach((value, i) => expect(Math.abs(value - exact[i]!)).toBeLessThan(0.1 * scale));
      if (dtype === "BF16") expect(await bfloat16.logits(ids)).toEqual(logits);
    }
  });

  it("distinguishes a parallel residual from a sequential one", async () => {
    const config = smallConfigs["gpt_neox, parallel"]!;
    const bytes = await smallCheckpoint(config);
    const ids = randomIds(8, 61, 7);
    const sequential = await load({ ...config, use_parallel_residual: false }, bytes);
    expect(await sequential.logits(ids)).not.toEqual(await (await load(config, bytes)).logits(ids));
  });

  it("applies the configured activation to the gate of a gated MLP", async () => {
    const config = { ...smallConfigs["llama"]!, num_hidden_layers: 1 };
    const bytes = await smallCheckpoint(config);
    const ids = randomIds(8, 61, 7);
    const [silu, gelu, relu] = await Promise.all(
      ["silu", "gelu", "relu"].map(async (hidden_act) => (await load({ ...config, hidden_act }, bytes)).logits(ids)),
    );
    expect(gelu).not.toEqual(silu);
    expect(relu).not.toEqual(gelu);
  });

  it("divides by the root of query_pre_attn_scalar: a quarter has the bits of queries twice as large", async () => {
    const config = smallConfigs["gemma3_text"]!;
    const logits = async (query_pre_attn_scalar: number, gain: number) => {
      const bytes = await edited(config, (tensors) => {
        for (const name of Object.keys(tensors).filter((name) => name.endsWith("q_norm.weight"))) {
          tensors[name] = { dtype: "F32", shape: [8], data: new Float32Array(8).fill(gain - 1) }; // as Gemma stores it
        }
      });
      return (await load({ ...config, query_pre_attn_scalar }, bytes)).logits(randomIds(8, 61, 7));
    };
    expect(await logits(2, 1.25)).toEqual(await logits(8, 2.5));
    expect(await logits(8, 1.25)).not.toEqual(await logits(8, 2.5));
  });
});

describe("an error names what was found and what is legal", () => {
  const llama = smallConfigs["llama"]!;

  it("lists the supported architectures if one is unknown", () => {
    expect(() => readModelConfig({ model_type: "mamba" })).toThrow(
      /"mamba" is not supported; supported are gemma3_text, gpt2, gpt_neox, llama, .*qwen3, smollm3/,
    );
    expect(() => readModelConfig({})).toThrow(/"model_type" must be a string, found nothing/);
    expect(() => readModelConfig([])).toThrow(/expected a JSON object/);
  });

  it.each([
    ["llama", { hidden_size: "big" }, /"hidden_size" must be a.* integer.*, found "big"/],
    ["llama", { num_key_value_heads: 3 }, /4 query heads cannot share 3 key\/value heads/],
    ["llama", { hidden_act: "snake" }, /"hidden_act" must be one of .*silu/],
    [
      "llama",
      { rope_scaling: { rope_type: "dynamic", factor: 2 } },
      /"rope_type" must be one of default, linear, llama3, longrope, yarn, found "dynamic"/,
    ],
    ["qwen2", { use_sliding_window: true }, /only full attention/],
    [
      "smollm3",
      { no_rope_layers: [1, 2, 1, 0] },
      /"no_rope_layers" must be a list of 4 entries \(num_hidden_layers\), each 0 or 1, found \[1,2,1,0\]/,
    ],
    [
      "gemma3_text",
      { attn_logit_softcapping: 50 },
      /"attn_logit_softcapping" must be null, the only one implemented, found 50/,
    ],
    ["mistral", { sliding_window: 0 }, /"sliding_window" must be a.* integer.*, found 0/],
    ["phi", { qk_layernorm: true }, /"qk_layernorm" must be false/],
    ["gpt2", { scale_attn_weights: false }, /"scale_attn_weights" must be true/],
    ["gpt2", { n_head: 5 }, /not a multiple of 5 heads/],
  ])("names a malformed field: %s, %j", (name, field, message) =>
    expect(() => readModelConfig({ ...smallConfigs[name], ...field })).toThrow(message),
  );

  it("names a missing tensor with its shape and similar names", async () => {
    const bytes = await edited(llama, (tensors) =>
      rename(tensors, (name) => name.replace("layers.2.mlp.down_proj", "layers.9.mlp.down_proj")),
    );
    await expect(load(llama, bytes)).rejects.toThrow(
      /"model.layers.2.mlp.down_proj.weight" \[24, 40\] is missing.*did you mean/,
    );
  });

  it("names a misshapen tensor with both shapes", async () => {
    const bytes = await edited(
      llama,
      (tensors) => (tensors["model.norm.weight"] = { dtype: "F32", shape: [23], data: new Float32Array(23) }),
    );
    const says = '"model.norm.weight" should be [24] according to config.json, found [23]';
    await expectCode(load(llama, bytes), "tensor-shape", says);
  });

  it("refuses a tensor whose dtype cannot hold weights", async () => {
    const bytes = await edited(
      llama,
      (tensors) => (tensors["lm_head.weight"] = { dtype: "I32", shape: [61, 24], data: new Int32Array(61 * 24) }),
    );
    await expectCode(load(llama, bytes), "tensor-dtype");
  });

  it("refuses token ids and lengths beyond the model, and a disposed model", async () => {
    const model = await smallModel();
    await expect(model.logits([61])).rejects.toThrow(/token id 61 is outside the vocabulary \[0, 61\)/);
    for (const id of [-1, undefined as never]) await expectCode(model.logits([id]), "token-range");
    await expect(model.logits(randomIds(97, 61, 1))).rejects.toThrow(/97 tokens exceeds the context limit of 96/);
    await expectCode(model.logits([]), "token-count");
    model.dispose();
    await expectCode(model.logits([1]), "model-disposed");
  });
});

it("says what to do if a page may not hash", async () => {
  expect(await sha256(new TextEncoder().encode("abc"))).toBe(
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  vi.stubGlobal("crypto", {});
  await expect(sha256(new Uint8Array(1))).rejects.toThrow(/secure contexts only.*https or from localhost/);
  vi.unstubAllGlobals();
});
