/**
 * Files that ask for too much are refused before anything is made of them: within a second, with an error that names
 * the limit and the option that raises it. Real patterns and sizes are far below the limits.
 */
import { EarlyExitError } from "early-exits";
import { BudgetError } from "../../src/errors.js";
import { budgetsWith, huggingFaceTokenizer, loadModel, readModelConfig, type TensorSource } from "early-exits/model";
import { defaultBudgets } from "../../src/budgets.js";
import { fileJson } from "../../src/model/files/folder.js";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { parseSafetensorsHeader } from "../../src/tensor/formats/header.js";
import { smallConfigs } from "../support/models.js";
import { times } from "../support/lists.js";

/** Fails unless the call throws an error of this library, within a second. Returns it. */
async function refusal(call: () => unknown) {
  const start = performance.now();
  const error = await Promise.resolve()
    .then(call)
    .then(
      () => undefined,
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(EarlyExitError);
  expect(performance.now() - start).toBeLessThan(1000);
  return error as EarlyExitError;
}

const textFile = (path: string, text: string) => {
  const bytes = new TextEncoder().encode(text);
  return { path, size: bytes.length, read: (from: number, to: number) => Promise.resolve(bytes.slice(from, to)) };
};

describe("the limits of JSON files", () => {
  it.each([
    ["configBytes", `{"a": "${"x".repeat(defaultBudgets.configBytes)}"}`],
    ["jsonDepth", "[".repeat(1e6)],
    ["jsonValues", `[${"{},".repeat(1.2e6)}{}]`],
    ["jsonKeys", `{${times(6e5, (i) => `"${i}":1`).join(",")}}`],
  ] as const)("%s is named, and can be raised", async (budget, text) => {
    const limit = budget === "configBytes" ? {} : { limit: "tokenizerBytes" as const };
    const error = await refusal(() => fileJson(textFile("config.json", text), limit));
    expect(error).toBeInstanceOf(BudgetError);
    expect(error.details["budget"]).toBe(budget);
    expect(error.message).toContain(`budgets: { ${budget}: `);
    const raised = fileJson(textFile("config.json", text), { ...limit, budgets: { [budget]: Infinity } });
    if (budget === "jsonDepth") await expect(raised).rejects.toThrow(/not valid JSON/);
    else await expect(raised).resolves.toBeDefined();
  });

  it("count neither what strings hold nor escaped quotes", async () => {
    const text = JSON.stringify({ a: '[{,:\\"'.repeat(1e5) });
    await expect(fileJson(textFile("a.json", text))).resolves.toEqual(JSON.parse(text));
  });

  it("have names that exist and values of at least 1", () => {
    expect(() => budgetsWith({ configBytes: 0 })).toThrow(/budgets: configBytes is 0/);
    expect(() => budgetsWith({ bytes: 1 } as never)).toThrow(/budgets: bytes is 1/);
    expect(budgetsWith({ configBytes: 1 })).toEqual({ ...defaultBudgets, configBytes: 1 });
  });
});

describe("a config.json", () => {
  const source = (shapes: readonly (readonly number[])[]): TensorSource => ({
    tensors: new Map(shapes.map((shape, i) => [`t${i}`, { dtype: "F32", shape }])),
    read: () => Promise.reject(new Error("read")),
  });
  const load = (config: object) => loadModel(config, source([[61, 24]]), { device: createReferenceDevice() });

  it.each(Object.keys(smallConfigs))("of %s has sizes that its checkpoint can hold", async (name) => {
    const config = smallConfigs[name]!;
    const layers = "n_layer" in config ? "n_layer" : "num_hidden_layers";
    const hidden = "n_embd" in config ? "n_embd" : "hidden_size";
    expect((await refusal(() => load({ ...config, [layers]: 1e6 }))).details["budget"]).toBe("layers");
    for (const size of [{ [layers]: 4000 }, { [hidden]: 24 * 10 ** 6 }, { vocab_size: 1e6 }]) {
      const { code } = await refusal(() => load({ ...config, ...size }));
      expect(code, JSON.stringify(size)).toMatch(/^config-/);
    }
  });

  it.each([
    ["llama", { rope_theta: 0 }],
    ["llama", { rms_norm_eps: -1 }],
    ["llama", { hidden_act: "constructor" }],
    ["llama", { hidden_act: "__proto__" }],
    ["llama", { num_attention_heads: 2 ** 40 }],
    ["llama", { max_position_embeddings: 1e18 }],
    ["llama", { rope_scaling: { rope_type: "linear", factor: 0 } }],
    ["llama", { rope_scaling: { rope_type: "yarn", factor: 2, beta_fast: -1 } }],
    [
      "llama",
      {
        rope_scaling: {
          rope_type: "llama3",
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 32,
        },
      },
    ],
    ["gpt_neox, parallel", { rotary_pct: 1.5 }],
    ["gpt_neox, parallel", { rotary_emb_base: 0 }],
    ["gpt2", { layer_norm_epsilon: -1e-5 }],
    ["gemma3_text", { rope_local_base_freq: -5 }],
    ["llama", { eos_token_id: times(5000, (i) => i) }],
  ])("of %s with %j is refused by name", async (name, change) => {
    const error = await refusal(() => readModelConfig({ ...smallConfigs[name], ...change }));
    expect(error.code).toMatch(/^config-/);
  });

  it("is quoted in messages however deep it is", async () => {
    let deep: unknown = [];
    for (let i = 0; i < 1e5; i++) deep = [deep];
    const error = await refusal(() => readModelConfig({ ...smallConfigs["llama"], hidden_size: deep }));
    expect(error.message.length).toBeLessThan(300);
  });
});

it("a safetensors header of 100 MB is refused before it is parsed, unless the caller allows it", async () => {
  const length = 1e8;
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, length, true);
  const error = await refusal(() => parseSafetensorsHeader(prefix, length + 8));
  expect(error).toMatchObject({ code: "header-too-large", details: { budget: "safetensorsHeaderBytes" } });
  const allowed = await refusal(() => parseSafetensorsHeader(prefix, length + 8, { largest: length }));
  expect(allowed.code).toBe("prefix-too-short");
});

/** Parts of the patterns of cl100k and o200k. */
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const BEFORE = "[^\\r\\n\\p{L}\\p{N}]?";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";

describe("a tokenizer.json", () => {
  const tokenizer = {
    added_tokens: [],
    normalizer: null as unknown,
    pre_tokenizer: null as unknown,
    decoder: { type: "ByteLevel" } as unknown,
    post_processor: null as unknown,
    model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] },
  };
  const split = (pattern: string) => ({
    ...tokenizer,
    pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
  });

  it.each([
    "(a+)+$",
    "(a|a)*b",
    "(?:a?){30}a{30}",
    "a?".repeat(40) + "a".repeat(40),
    "(?=(a+)+b)a",
    "(\\w+\\s?)*x",
    "(.*a){20}",
    ".*".repeat(30) + "x",
    "\\s+\\s+\\s+x",
    "(a*)\\1b",
    "((((((((((((((((((a))))))))))))))))))",
    "x{100000}",
    "[^\\s]*\\S*\\w*!",
  ])("with the pattern %s is refused", async (pattern) => {
    const error = await refusal(() => huggingFaceTokenizer(split(pattern)));
    expect(error.message).toContain("patternMilliseconds");
  });

  it.each([
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`,
    `${BEFORE}${UPPER}*${LOWER}+${CONTRACTIONS}?|${BEFORE}${UPPER}+${LOWER}*${CONTRACTIONS}?|` +
      `\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`,
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
      ` ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES}`,
    "[一-龥぀-ゟ゠-ヿ]+",
    "\\p{N}{1,3}",
    "(?=(\\d{3})+(?!\\d))",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",
    "(?<=[^▁])(?=▁)",
    "[0-9][0-9][0-9]",
  ])("with the published pattern %s is read", async (pattern) => {
    const budgets = { patternMilliseconds: 1000 }; // four times the default: other tests share the processor
    await expect(huggingFaceTokenizer(split(pattern), {}, { budgets })).resolves.toBeDefined();
  });

  it("whose patterns the caller trusts is read with any", async () => {
    const budgets = { patternMilliseconds: Infinity };
    await expect(huggingFaceTokenizer(split("(a+)+$"), {}, { budgets })).resolves.toBeDefined();
  });

  const replace = { type: "Replace", pattern: { String: "a" }, content: "aa" };
  const nested = (steps: number) => {
    let step: object = { type: "Fuse" };
    for (let i = 0; i < steps; i++) step = { type: "Sequence", decoders: [step] };
    return step;
  };
  it.each([
    [
      "a normalizer that doubles texts 40 times",
      { normalizer: { type: "Sequence", normalizers: Array(40).fill(replace) } },
    ],
    ["a decoder that does", { decoder: { type: "Sequence", decoders: Array(40).fill(replace) } }],
    ["100,000 decoders", { decoder: { type: "Sequence", decoders: Array(1e5).fill({ type: "Fuse" }) } }],
    ["decoders 10,000 deep", { decoder: nested(10_000) }],
    ["a text of a megabyte to prepend", { normalizer: { type: "Prepend", prepend: "x".repeat(2 ** 20) } }],
    ["an empty text to replace", { normalizer: { ...replace, pattern: { String: "" } } }],
    [
      "a decoder that strips infinitely many spaces",
      {
        decoder: {
          type: "Sequence",
          decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start: 1e300, stop: 0 }],
        },
      },
    ],
    ["added tokens of a megabyte", { added_tokens: [{ id: 2, content: "x".repeat(2 ** 20), special: true }] }],
    ["a model named after a prototype", { model: { ...tokenizer.model, type: "constructor" } }],
    ["a pre-tokenizer that does not exist", { pre_tokenizer: { type: "toString" } }],
  ])("with %s is refused", async (_, change) => {
    await refusal(() => huggingFaceTokenizer({ ...tokenizer, ...change }));
  });
});
