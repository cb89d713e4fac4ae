/**
 * A GGUF file's metadata as the config.json that a family reads. Tied embeddings (no output matrix), biases, and
 * factors of rotary wavelengths are only in the tensors.
 */
import { GgufError, ModelError } from "../../errors.js";
import { type Architecture, ARCHITECTURES, type GgufFacts } from "./architectures.js";
import type { GgufMetadata } from "./metadata.js";

interface NamedTensor {
  readonly shape: readonly number[];
}

/** undefined if the file has no such tensor. */
type ReadVector = (name: string) => Promise<readonly number[] | undefined>;

export interface GgufConfig {
  readonly json: Readonly<Record<string, unknown>>;
  readonly architecture: Architecture;
  readonly facts: GgufFacts;
}

export async function ggufConfig(
  metadata: GgufMetadata,
  tensors: ReadonlyMap<string, NamedTensor>,
  readVector: ReadVector,
): Promise<GgufConfig> {
  const name = metadata.text("general.architecture");
  const architecture = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (architecture === undefined) {
    throw new ModelError(
      "architecture-unknown",
      `${metadata.path}: the architecture ${JSON.stringify(name)} is not supported as GGUF; ` +
        `supported are ${Object.keys(ARCHITECTURES).join(", ")}`,
      { architecture: name },
    );
  }
  const facts = factsOf(metadata, name, tensors);
  const { own, hiddenSize, numHeads, numKvHeads, headDim } = facts;
  const rotated = metadata.number(own("rope.dimension_count"), headDim)!;
  const end = metadata.number("tokenizer.ggml.eos_token_id", undefined);
  const endOfTurn = metadata.number("tokenizer.ggml.eot_token_id", undefined);
  const json = {
    model_type: architecture.modelType,
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
    hidden_size: hiddenSize,
    num_hidden_layers: blockCount(metadata, own("block_count"), tensors.size),
    num_attention_heads: numHeads,
    num_key_value_heads: numKvHeads,
    head_dim: headDim,
    intermediate_size: metadata.number(own("feed_forward_length")),
    max_position_embeddings: metadata.number(own("context_length")),
    rms_norm_eps: metadata.number(own("attention.layer_norm_rms_epsilon"), undefined),
    rope_theta: metadata.number(own("rope.freq_base"), 10_000),
    partial_rotary_factor: rotated / headDim,
    ...(await ropeScaling(facts, readVector)),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_output.bias"),
    mlp_bias: tensors.has("blk.0.ffn_down.bias"),
    bos_token_id: metadata.number("tokenizer.ggml.bos_token_id", undefined),
    eos_token_id: [end, endOfTurn].filter((id, i, ids) => id !== undefined && ids.indexOf(id) === i),
    ...architecture.fields?.(facts),
  };
  return { json, architecture, facts };
}

function factsOf(metadata: GgufMetadata, name: string, tensors: ReadonlyMap<string, NamedTensor>): GgufFacts {
  const own = (key: string): string => `${name}.${key}`;
  const hiddenSize = metadata.number(own("embedding_length"));
  const numHeads = metadata.number(own("attention.head_count"));
  const numKvHeads = metadata.number(own("attention.head_count_kv"), numHeads)!;
  const headDim = metadata.number(own("attention.key_length"), Math.floor(hiddenSize / numHeads))!;
  requireTensorsOf(metadata, tensors, {
    embedding_length: hiddenSize,
    "attention.head_count": numHeads * headDim,
    "attention.head_count_kv": numKvHeads * headDim,
  });
  return { metadata, own, has: (tensor) => tensors.has(tensor), hiddenSize, numHeads, numKvHeads, headDim };
}

/** Lists of rows have these sizes, so one above every tensor's is refused first. */
function requireTensorsOf(
  { path }: GgufMetadata,
  tensors: ReadonlyMap<string, NamedTensor>,
  sizes: Readonly<Record<string, number>>,
): void {
  const largest = [...tensors.values()].reduce((most, { shape }) => Math.max(most, ...shape), 0);
  for (const [key, size] of Object.entries(sizes)) {
    if (size <= largest) continue;
    throw new GgufError(
      "gguf-sizes",
      `${path}: "${key}" asks for ${size} rows, but no tensor has more than ${largest}`,
      {
        key,
        size,
        largest,
      },
    );
  }
}

/** Every block has tensors of its own, so a count above theirs is refused. */
function blockCount(metadata: GgufMetadata, key: string, tensorCount: number): number {
  const count = metadata.number(key);
  if (count <= tensorCount) return count;
  throw new GgufError("gguf-blocks", `${metadata.path}: "${key}" is ${count}, but it has ${tensorCount} tensors`, {
    count,
    tensors: tensorCount,
  });
}

/**
 * Hugging Face's `rope_scaling`. Factors in a tensor divide the frequencies: "longrope" with equal factors for short
 * and long contexts (Llama 3), or two sets (Phi-3).
 */
async function ropeScaling(
  { metadata, own }: GgufFacts,
  readVector: ReadVector,
): Promise<{ readonly rope_scaling?: Readonly<Record<string, unknown>> }> {
  const original = metadata.number(own("rope.scaling.original_context_length"), undefined);
  const attention = metadata.number(own("rope.scaling.attn_factor"), undefined);
  const context = { ...(original !== undefined && { original_max_position_embeddings: original }) };
  const factors = await readVector("rope_freqs.weight");
  const type = metadata.text(own("rope.scaling.type"), undefined) ?? "none";
  if (factors !== undefined && type === "none") {
    return {
      rope_scaling: { rope_type: "longrope", long_factor: factors, short_factor: factors, attention_factor: 1 },
    };
  }
  const [long, short] = [await readVector("rope_factors_long.weight"), await readVector("rope_factors_short.weight")];
  if (long !== undefined || short !== undefined) {
    const magnitude = { ...(attention !== undefined && { attention_factor: attention }) };
    return {
      rope_scaling: { rope_type: "longrope", long_factor: long, short_factor: short, ...context, ...magnitude },
    };
  }
  if (type === "none") return {};
  if (factors !== undefined || (attention ?? 1) !== 1) {
    throw new ModelError(
      "gguf-rope-factors",
      `${metadata.path}: rotary positions are scaled in two ways at once, by "${own("rope.scaling.type")}" ` +
        `(${type}) and by ${factors === undefined ? `"${own("rope.scaling.attn_factor")}"` : "rope_freqs.weight"}; ` +
        "load the Hugging Face folder of the model",
    );
  }
  const factor = metadata.number(own("rope.scaling.factor"), 1);
  return { rope_scaling: { rope_type: type, factor, ...context, ...yarnFields(metadata, own) } };
}

function yarnFields(metadata: GgufMetadata, own: GgufFacts["own"]): Readonly<Record<string, unknown>> {
  const fields = { beta_fast: "yarn_beta_fast", beta_slow: "yarn_beta_slow" };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([field, key]) => {
      const value = metadata.number(own(`rope.scaling.${key}`), undefined);
      return value === undefined ? [] : [[field, value]];
    }),
  );
}
