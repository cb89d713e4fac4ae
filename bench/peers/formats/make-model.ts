/**
 * Writes the model that every peer runs: a Hugging Face folder (config.json, model.safetensors in GPT-2's layout,
 * "Conv1D" weights [in, out]) with random float32 weights from a seed, and the batch of the training step
 * (head.safetensors). Matrices are scaled by 1/sqrt(in) so that attention is far from uniform: a wrong mask, head order
 * or position then shows in the logits.
 */
import { createRng, type Rng, serializeSafetensors } from "early-exits/tensor";
import { writeFileAtomic } from "early-exits/node";
import { join } from "node:path";
import { shape, training } from "../shape.js";

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Writes the folder anew; same seed, same bytes. */
export async function makeModel(folder: string, seed: number): Promise<ReadonlyMap<string, NamedTensor>> {
  const tensors = randomWeights(seed);
  await writeFileAtomic(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  await writeFileAtomic(join(folder, "model.safetensors"), toSafetensors(tensors));
  await writeFileAtomic(join(folder, "head.safetensors"), toSafetensors(randomBatch(seed)));
  return tensors;
}

const config = {
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  activation_function: "gelu_new",
  n_embd: shape.hiddenSize,
  n_layer: shape.numLayers,
  n_head: shape.numHeads,
  n_inner: shape.intermediateSize,
  n_positions: shape.contextSize,
  vocab_size: shape.vocabSize,
  layer_norm_epsilon: shape.normEpsilon,
  tie_word_embeddings: true,
  torch_dtype: "float32",
};

function randomWeights(seed: number): Map<string, NamedTensor> {
  const { hiddenSize: c, intermediateSize: f, vocabSize: v, contextSize, numLayers } = shape;
  const rng = createRng(seed).fork("weights");
  const tensors = new Map<string, NamedTensor>();
  const set = (name: string, sizes: readonly number[], deviation: number, mean = 0): void => {
    tensors.set(`transformer.${name}`, {
      shape: sizes,
      data: normal(
        rng,
        sizes.reduce((n, size) => n * size, 1),
        deviation,
        mean,
      ),
    });
  };
  const norm = (name: string): void => {
    set(`${name}.weight`, [c], 0.1, 1);
    set(`${name}.bias`, [c], 0.1);
  };
  const conv = (name: string, from: number, to: number): void => {
    set(`${name}.weight`, [from, to], 1 / Math.sqrt(from));
    set(`${name}.bias`, [to], 0.1);
  };
  set("wte.weight", [v, c], 0.1);
  set("wpe.weight", [contextSize, c], 0.05);
  for (let l = 0; l < numLayers; l++) {
    norm(`h.${l}.ln_1`);
    conv(`h.${l}.attn.c_attn`, c, 3 * c);
    conv(`h.${l}.attn.c_proj`, c, c);
    norm(`h.${l}.ln_2`);
    conv(`h.${l}.mlp.c_fc`, c, f);
    conv(`h.${l}.mlp.c_proj`, f, c);
  }
  norm("ln_f");
  return tensors;
}

/** States [B, C], teacher's logits [B, V] and the head's first weights [V, C]. */
function randomBatch(seed: number): Map<string, NamedTensor> {
  const { hiddenSize: c, vocabSize: v } = shape;
  const rng = createRng(seed).fork("head");
  return new Map<string, NamedTensor>([
    ["states", { shape: [training.batch, c], data: normal(rng, training.batch * c, 1) }],
    ["teacher", { shape: [training.batch, v], data: normal(rng, training.batch * v, 2) }],
    ["head", { shape: [v, c], data: normal(rng, v * c, 1 / Math.sqrt(c)) }],
  ]);
}

function normal(rng: Rng, length: number, deviation: number, mean = 0): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, () => mean + deviation * rng.normal());
}

function toSafetensors(tensors: ReadonlyMap<string, NamedTensor>): Uint8Array {
  return serializeSafetensors(
    [...tensors].map(([name, { shape: sizes, data }]) => [name, { dtype: "F32", shape: sizes, data }] as const),
  );
}
