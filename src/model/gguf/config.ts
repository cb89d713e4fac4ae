/**
 * What config.json would say: the metadata of a GGUF file in Hugging Face's words, so that a family reads both alike.
 * Some facts are only in the tensors: tied embeddings (no output matrix) and biases.
 */
import { GgufError, ModelError } from "../../errors.js";
import type { GgufMetadata } from "./metadata.js";

/** Architectures by GGUF's names, with Hugging Face's `model_type`. */
const MODEL_TYPES: Readonly<Record<string, string>> = { llama: "llama", qwen2: "qwen2" };

/** A config.json for the model of a GGUF file with these tensors (GGUF's names and shapes). */
export function ggufConfig(
  metadata: GgufMetadata,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Readonly<Record<string, unknown>> {
  const architecture = metadata.text("general.architecture");
  const modelType = Object.hasOwn(MODEL_TYPES, architecture) ? MODEL_TYPES[architecture] : undefined;
  if (modelType === undefined) {
    throw new ModelError(
      "architecture-unknown",
      `${metadata.path}: the architecture ${JSON.stringify(architecture)} is not supported as GGUF; ` +
        `supported are ${Object.keys(MODEL_TYPES).join(", ")}`,
      { architecture },
    );
  }
  if (tensors.has("rope_freqs.weight")) {
    throw new ModelError(
      "gguf-rope-factors",
      `${metadata.path}: it stretches rotary positions by factors (rope_freqs.weight), which only the Hugging Face ` +
        "folder of the model states in full; load that folder",
    );
  }
  const own = (key: string): string => `${architecture}.${key}`;
  const hiddenSize = metadata.number(own("embedding_length"));
  const numHeads = metadata.number(own("attention.head_count"));
  const headDim = metadata.number(own("attention.key_length"), Math.floor(hiddenSize / numHeads))!;
  const rotated = metadata.number(own("rope.dimension_count"), headDim)!;
  const end = metadata.number("tokenizer.ggml.eos_token_id", undefined);
  const endOfTurn = metadata.number("tokenizer.ggml.eot_token_id", undefined);
  return {
    model_type: modelType,
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
    hidden_size: hiddenSize,
    num_hidden_layers: blockCount(metadata, own("block_count"), tensors.size),
    num_attention_heads: numHeads,
    num_key_value_heads: metadata.number(own("attention.head_count_kv"), numHeads),
    head_dim: headDim,
    intermediate_size: metadata.number(own("feed_forward_length")),
    max_position_embeddings: metadata.number(own("context_length")),
    rms_norm_eps: metadata.number(own("attention.layer_norm_rms_epsilon")),
    rope_theta: metadata.number(own("rope.freq_base"), 10_000),
    partial_rotary_factor: rotated / headDim,
    ...ropeScaling(metadata, own),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_output.bias"),
    mlp_bias: tensors.has("blk.0.ffn_down.bias"),
    bos_token_id: metadata.number("tokenizer.ggml.bos_token_id", undefined),
    eos_token_id: [end, endOfTurn].filter((id, i, ids) => id !== undefined && ids.indexOf(id) === i),
  };
}

/** Every block has tensors of its own, so a count above theirs is refused before blocks are planned. */
function blockCount(metadata: GgufMetadata, key: string, tensorCount: number): number {
  const count = metadata.number(key);
  if (count <= tensorCount) return count;
  throw new GgufError("gguf-blocks", `${metadata.path}: "${key}" is ${count}, but it has ${tensorCount} tensors`, {
    count,
    tensors: tensorCount,
  });
}

function ropeScaling(metadata: GgufMetadata, own: (key: string) => string): { readonly rope_scaling?: object } {
  const type = metadata.text(own("rope.scaling.type"), undefined);
  if (type === undefined || type === "none") return {};
  return { rope_scaling: { rope_type: type, factor: metadata.number(own("rope.scaling.factor"), 1) } };
}
