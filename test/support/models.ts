/** Small models with random weights, of every family and with all its options, for tests that need no trained model. */
import {
  attachHeads,
  type AttachOptions,
  createModel,
  type Device,
  type ExitHeads,
  fitProjections,
  loadModel,
  type ScoreName,
  serializeHeads,
  type WeightDtype,
} from "early-exits";
import { type CacheDtype, createReferenceDevice, createRng, Tensor } from "early-exits/tensor";
import { byteTokenizer } from "./byte-tokenizer.js";
import { llamaConfigJson, memorySource, serializeModel, allWeights, type Tokenizer } from "early-exits/model";
import { deserializeHeads } from "../../src/exits/heads/deserialize-heads.js";
import { times } from "./lists.js";

const common = {
  vocab_size: 61,
  hidden_size: 24,
  num_hidden_layers: 4,
  max_position_embeddings: 96,
  eos_token_id: 60,
};
const llama = {
  ...common,
  model_type: "llama",
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 40,
  tie_word_embeddings: false,
  bos_token_id: 59,
};
const neox = {
  ...common,
  model_type: "gpt_neox",
  num_attention_heads: 3,
  intermediate_size: 50,
  rotary_pct: 0.25,
};
const gpt2 = {
  model_type: "gpt2",
  vocab_size: 61,
  n_embd: 24,
  n_layer: 4,
  n_head: 4,
  n_positions: 96,
  eos_token_id: 60,
};

/** Options of `attachHeads`, with the kinds of its heads in words. */
export interface AskedHeads extends Pick<AttachOptions, "kind" | "preview"> {
  readonly name: string;
}

/** Every kind of head below depth L. */
export const askedHeads: readonly AskedHeads[] = [
  { name: "dense", kind: "dense" },
  { name: "linear", kind: "linear" },
  { name: "linear, with a preview", kind: "linear", preview: true },
  {
    name: "linear, with a preview of a list",
    kind: "linear",
    preview: { tokens: times(30, (i) => 2 * i + 1) },
  },
];

/** Options for `attachHeads`. */
export const attachOptionsOf = ({ kind = "dense", preview = false }: AskedHeads) => ({ kind, preview });

/** True if heads have the score: those that do not compute all logits have no entropy. */
export function hasScore({ preview }: AskedHeads, score: ScoreName) {
  return preview === undefined || score === "margin";
}

/** Contents of config.json by name; together they take every branch of the families. */
export const smallConfigs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  gpt2,
  "gpt2, untied, n_inner, gelu": { ...gpt2, tie_word_embeddings: false, n_inner: 33, activation_function: "gelu" },
  "gpt_neox, parallel": neox,
  "gpt_neox, sequential, full rotary, no attention bias": {
    ...neox,
    use_parallel_residual: false,
    rotary_pct: 1,
    attention_bias: false,
  },
  llama,
  "llama, tied, head_dim, biases": {
    ...llama,
    tie_word_embeddings: true,
    head_dim: 10,
    attention_bias: true,
    mlp_bias: true,
  },
  "llama, llama3 rope": {
    ...llama,
    rope_theta: 500_000,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    },
  },
  "llama, gelu gate": { ...llama, hidden_act: "gelu" },
  "llama, shared keys and values": { ...llama, num_kv_shared_layers: 2 },
  qwen2: { ...llama, model_type: "qwen2" },
  qwen3: { ...llama, model_type: "qwen3", head_dim: 8 },
  mistral: { ...llama, model_type: "mistral", sliding_window: 5 },
  gemma3_text: { ...llama, model_type: "gemma3_text", head_dim: 8, sliding_window: 3, sliding_window_pattern: 2 },
  smollm3: { ...llama, model_type: "smollm3", no_rope_layers: [1, 0, 1, 0], mlp_bias: true },
  olmo2: { ...llama, model_type: "olmo2" },
  phi3: { ...llama, model_type: "phi3", partial_rotary_factor: 0.75, head_dim: 8 },
  phi: { ...llama, model_type: "phi", head_dim: undefined, partial_rotary_factor: 0.34 },
};

export interface SmallModelOptions {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly device?: Device;
  readonly dtype?: WeightDtype;
  readonly kvCache?: CacheDtype;
  readonly seed?: number;
  /** Width of the weights relative to a fresh model's, so that predictions are not flat. @default 8 */
  readonly gain?: number;
  readonly tokenizer?: Tokenizer;
}

/** A frozen model with random weights and biases. */
export async function smallModel({
  config = llama,
  device = createReferenceDevice(),
  dtype = "float32",
  kvCache = "float32",
  seed = 1,
  gain = 8,
  ...tokenizer
}: SmallModelOptions = {}) {
  const bytes = await smallCheckpoint(config, seed, gain);
  return loadModel(config, memorySource(bytes), { device, dtype, kvCache, ...tokenizer });
}

/** Heads on such a model: by default, linear ones at depths 1 and 3 of 4. */
export async function smallHeads(
  { exits = [1, 3], kind = "linear", ...rest }: AttachOptions = {},
  model: SmallModelOptions = {},
) {
  return attachHeads(await smallModel(model), { exits, kind, ...rest });
}

/** Heads after a stay in files, and what the files held. */
export async function reread(heads: ExitHeads) {
  const { description, weights } = await serializeHeads(heads);
  const json: unknown = JSON.parse(JSON.stringify(description));
  return { again: await deserializeHeads(heads.model, json, weights), description, weights };
}

/** Makes what belongs to a key, once. */
export function once<Key, Value>(make: (key: Key) => Value) {
  const made = new Map<string, Value>();
  return (key: Key) => {
    const name = JSON.stringify(key);
    const value = made.get(name) ?? make(key);
    made.set(name, value);
    return value;
  };
}

/** The checkpoint of a llama of which one value of one tensor is replaced. */
export async function damagedCheckpoint(name: string, value: number) {
  const file = await smallCheckpoint(llama);
  const bytes = await memorySource(file).read(name); // a view of the file
  new DataView(bytes.buffer, bytes.byteOffset).setFloat32(4 * 5, value, true);
  return file;
}

/** A llama of that checkpoint. */
export const damagedModel = async (device: Device, name: string, value = NaN) =>
  loadModel(llama, memorySource(await damagedCheckpoint(name, value)), { device });

/** Gives a head weights that are all NaN. */
export function damageHead({ heads, model }: ExitHeads, exit: number) {
  const { weights } = heads[exit]!;
  const damaged = Object.entries(weights.tensors).map(([name, { shape, size }]) => {
    return [name, Tensor.from(model.device, new Float32Array(size).fill(NaN), shape, { requiresGrad: true })] as const;
  });
  weights.set(Object.fromEntries(damaged));
}

const checkpoint = once(
  async ({ config, seed, gain }: Required<Pick<SmallModelOptions, "config" | "seed" | "gain">>) => {
    const device = createReferenceDevice();
    const fresh = createModel(config, { device, seed });
    const rng = createRng(seed).fork("widen");
    for (const weight of allWeights(fresh.weights)) {
      const values = await weight.read();
      // Wider matrices, gains around 1, and biases that are not 0.
      const changed = values.map((value) => (weight.shape.length === 2 ? value * gain : value + 0.2 * rng.normal()));
      if ("requiresGrad" in weight) device.write(weight.storage, changed);
    }
    return serializeModel(fresh);
  },
);

/** The checkpoint of such a model. */
export const smallCheckpoint = async (config: Readonly<Record<string, unknown>>, seed = 1, gain = 8) =>
  (await checkpoint({ config, seed, gain })).slice();

/** config.json of a llama of this shape, with the byte tokenizer's 257 ids. */
export const byteLlama = (
  shape: Omit<Parameters<typeof llamaConfigJson>[0], "vocabSize" | "tieWordEmbeddings" | "eosTokenIds">,
) => llamaConfigJson({ vocabSize: 257, tieWordEmbeddings: true, bosTokenId: 256, eosTokenIds: [256], ...shape });

/** A llama for text, with the byte tokenizer's 257 ids. */
export const byteConfig = {
  ...llama,
  vocab_size: 257,
  hidden_size: 32,
  intermediate_size: 64,
  bos_token_id: 256,
  eos_token_id: 256,
  tie_word_embeddings: true,
};

export const smallByteModel = (options: SmallModelOptions = {}) =>
  smallModel({ config: byteConfig, tokenizer: byteTokenizer(), ...options });

/** Fits keys and values of skipped blocks to random text, for the fill that changes other tokens. */
export async function giveProjections(heads: ExitHeads) {
  await fitProjections(heads, randomDocuments(6, 24, 700, heads.model.config.vocabSize), { sequenceLength: 24 });
  return heads;
}

/** Token ids in [0, vocabSize). */
export function randomIds(count: number, vocabSize: number, seed: number) {
  const rng = createRng(seed);
  return times(count, () => rng.integer(vocabSize));
}

/** Documents of token ids, all of one length. */
export function randomDocuments(count: number, length: number, seed = 0, vocabSize = 61) {
  return times(count, (i) => randomIds(length, vocabSize, seed + i));
}
