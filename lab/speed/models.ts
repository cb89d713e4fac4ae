/**
 * Models of a given shape with random weights, generated while they are read: nothing is written to disk, nothing is
 * held twice. The values are ordinary (normal, with deviation 1/√K), so no kernel meets denormals or saturated
 * softmaxes.
 */
import { type Device, loadModel, type Model, type WeightDtype } from "early-exits";
import { createRng } from "early-exits/tensor";
import type { TensorSource } from "early-exits/model";
import { families, readModelConfig } from "../../src/model/families/families.js";
import type { Part } from "../../src/model/checkpoint.js";

/**
 * The config.json of each shape, by name. The first is the shape of bench/peers; the others have about 100 M
 * parameters.
 */
export const benchShapes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "gpt2 27M": { model_type: "gpt2", n_embd: 512, n_layer: 6, n_head: 8, n_positions: 512, vocab_size: 8192 },
  "llama 110M": {
    model_type: "llama",
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    num_key_value_heads: 4,
    intermediate_size: 2048,
    vocab_size: 32_000,
    max_position_embeddings: 1024,
    tie_word_embeddings: true,
  },
  "gpt_neox 105M": {
    model_type: "gpt_neox",
    hidden_size: 640,
    num_hidden_layers: 12,
    num_attention_heads: 10,
    intermediate_size: 2560,
    vocab_size: 36_000,
    max_position_embeddings: 1024,
    rotary_pct: 0.25,
  },
};

/** A frozen model with random weights. */
export function randomModel(
  config: Readonly<Record<string, unknown>>,
  device: Device,
  dtype: WeightDtype = "float32",
  seed = 1,
): Promise<Model> {
  return loadModel(config, randomSource(config, seed), { device, dtype });
}

/** The tensors of a random model, generated as they are read. */
export function randomSource(
  json: Readonly<Record<string, unknown>>,
  seed: number,
): TensorSource & { readonly tensors: Map<string, { dtype: "F32"; shape: readonly number[] }> } {
  const config = readModelConfig(json);
  const family = families[config.modelType];
  const tensors = new Map<string, { dtype: "F32"; shape: readonly number[] }>();
  const collect = (value: unknown): void => {
    if (isPart(value)) tensors.set(value.name, { dtype: "F32", shape: value.shape });
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(collect);
  };
  collect(family.plan(config, family.prefixes[0]!));
  const rng = createRng(seed);
  const noise = Float32Array.from({ length: 99_991 }, () => rng.normal()); // a prime: rows do not repeat in step
  return {
    tensors,
    read(name, begin = 0, end = Infinity) {
      const { shape } = tensors.get(name)!;
      const size = 4 * shape.reduce((product, axis) => product * axis, 1);
      const first = begin / 4;
      const last = Math.min(end, size) / 4;
      const gain = name.includes("norm") || /\bln_/.test(name) ? 0 : 1 / Math.sqrt(shape.at(-1)!);
      const offset = gain === 0 && name.endsWith("weight") ? 1 : 0;
      const values = new Float32Array(last - first);
      for (let i = 0; i < values.length; i++) {
        values[i] = offset + gain * noise[(first + i + 7919 * name.length) % noise.length]!;
      }
      return Promise.resolve(new Uint8Array(values.buffer));
    },
  };
}

function isPart(value: unknown): value is Part {
  return typeof value === "object" && value !== null && "name" in value && "shape" in value;
}
