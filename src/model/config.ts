/**
 * `ModelConfig`: one description for every supported transformer, in Hugging Face's words and camelCase. A family
 * (families/*.ts) translates its config.json into it and lists the checkpoint tensors that make up each weight;
 * everything else is written once.
 */
import { ModelError } from "../errors.js";

/** The supported `model_type`s of Hugging Face. */
export type ModelType = "gpt2" | "gpt_neox" | "llama" | "olmo2" | "phi" | "phi3" | "qwen2" | "qwen3" | "smollm3";
export type Activation = "gelu" | "geluTanh" | "silu" | "relu";

/** Llama 3's scaling: long rotary wavelengths are stretched. */
export interface Llama3RopeScaling {
  readonly ropeType: "llama3";
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

/** Linear scaling: all positions are divided by `factor` (Chen et al. 2023). */
export interface LinearRopeScaling {
  readonly ropeType: "linear";
  readonly factor: number;
}

export interface RotaryConfig {
  /** Rotated values per head; the rest pass unchanged. Even. */
  readonly dim: number;
  readonly theta: number;
  readonly scaling?: Llama3RopeScaling | LinearRopeScaling;
}

/** What may differ from block to block in attention. */
export interface AttentionConfig {
  /** Rotary positions; absent if queries and keys are not rotated. */
  readonly rotary?: RotaryConfig;
}

/** The architecture of a model, in the terms of Hugging Face's config.json. */
export interface ModelConfig extends AttentionConfig {
  readonly modelType: ModelType;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** L, the number of blocks. */
  readonly numLayers: number;
  /**
   * How many of the last blocks make no keys and values of their own: they attend to those of the block before the
   * first of them (cross-layer sharing, as in YOCO and Gemma 3n). A token that exits below them leaves no gap there.
   */
  readonly numKvSharedLayers: number;
  readonly numHeads: number;
  /** Key/value heads; each serves numHeads / numKvHeads query heads. */
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  /** The context limit, in tokens. */
  readonly maxPositionEmbeddings: number;
  readonly norm: "layerNorm" | "rmsNorm";
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** MLP(x) = down(act(gate(x)) · up(x)) instead of down(act(up(x))). */
  readonly gatedMlp: boolean;
  /** Rotary positions of all blocks without an entry in `layers`; absent if position embeddings are learned. */
  readonly rotary?: RotaryConfig;
  /** One entry per block, if they differ. */
  readonly layers?: readonly AttentionConfig[];
  /** x + attention(norm(x)) + mlp(norm(x)) instead of one after the other. */
  readonly parallelResidual: boolean;
  readonly tieWordEmbeddings: boolean;
  readonly biases: {
    readonly query: boolean;
    readonly keyValue: boolean;
    readonly attentionOut: boolean;
    readonly mlp: boolean;
  };
  readonly bosTokenId?: number;
  /** End-of-text ids; generation stops after any of them. */
  readonly eosTokenIds: readonly number[];
}

/** Reads typed fields of a parsed config.json. Its errors name the field, what was found and what is legal. */
export class ConfigReader {
  readonly #json: Readonly<Record<string, unknown>>;

  constructor(
    json: unknown,
    readonly file = "config.json",
  ) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new ModelError(
        "config-malformed",
        `${file}: expected a JSON object, found ${JSON.stringify(json).slice(0, 60)}`,
      );
    }
    this.#json = json as Record<string, unknown>;
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined && this.#json[key] !== null;
  }

  size(key: string, fallback?: number): number {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value <= 0) {
      throw this.#error(key, "a positive integer");
    }
    return value;
  }

  count(key: string, fallback: number): number {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
      throw this.#error(key, "a count, 0 or more");
    }
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.#error(key, "a number");
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (typeof value !== "boolean") throw this.#error(key, "true or false");
    return value;
  }

  text(key: string, fallback?: string): string {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (typeof value !== "string") throw this.#error(key, "a string");
    return value;
  }

  object(key: string): ConfigReader | undefined {
    return this.has(key) ? new ConfigReader(this.#json[key], `${this.file}: ${key}`) : undefined;
  }

  /** A list with one of the legal values for each of the blocks; undefined if the field is absent. */
  perLayer<T>(key: string, numLayers: number, legal: readonly T[]): readonly T[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#json[key];
    const isLegal = (entry: unknown): entry is T => legal.includes(entry as T);
    if (!Array.isArray(value) || value.length !== numLayers || !value.every(isLegal)) {
      const values = legal.map((entry) => JSON.stringify(entry)).join(" or ");
      throw this.#error(key, `a list of ${numLayers} entries (num_hidden_layers), each ${values}`);
    }
    return value;
  }

  /** A token id, or a list of them. */
  tokenIds(key: string): number[] {
    const value = this.has(key) ? this.#json[key] : [];
    const ids = Array.isArray(value) ? value : [value];
    if (!ids.every((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0)) {
      throw this.#error(key, "a token id or a list of token ids");
    }
    return ids;
  }

  activation(key: string, fallback: string): Activation {
    const name = this.text(key, fallback);
    const activation = ACTIVATIONS[name];
    if (activation === undefined) throw this.#error(key, `one of ${Object.keys(ACTIVATIONS).join(", ")}`);
    return activation;
  }

  /** Throws unless the field is absent or equal to the only value this library implements. */
  only(key: string, legal: unknown): void {
    if (this.has(key) && this.#json[key] !== legal) {
      throw this.#error(key, `${JSON.stringify(legal)}, the only one implemented`);
    }
  }

  /** RoPE settings, from the older top-level fields or the newer `rope_parameters`. */
  rotary(headDim: number, { thetaKey = "rope_theta", share = 1 } = {}): RotaryConfig {
    const nested = this.object("rope_parameters");
    const theta = nested?.has("rope_theta")
      ? nested.number("rope_theta")
      : this.number(thetaKey, this.number("rope_theta", 10_000));
    const partial = nested?.has("partial_rotary_factor")
      ? nested.number("partial_rotary_factor")
      : this.number("partial_rotary_factor", share);
    const dim = Math.floor(headDim * partial);
    if (dim <= 0 || dim > headDim || dim % 2 !== 0) {
      throw new ModelError(
        "config-rotary",
        `${this.file}: ${dim} rotated values per head of ${headDim}; expected an even number in [2, ${headDim}]`,
        { dim, headDim },
      );
    }
    const source = this.object("rope_scaling") ?? nested;
    const scaling = source === undefined ? undefined : source.#ropeScaling();
    return scaling === undefined ? { dim, theta } : { dim, theta, scaling };
  }

  #ropeScaling(): RotaryConfig["scaling"] {
    const ropeType = this.text("rope_type", this.text("type", "default"));
    switch (ropeType) {
      case "default":
        return undefined;
      case "linear":
        return { ropeType, factor: this.number("factor") };
      case "llama3":
        return {
          ropeType,
          factor: this.number("factor"),
          lowFreqFactor: this.number("low_freq_factor"),
          highFreqFactor: this.number("high_freq_factor"),
          originalMaxPositionEmbeddings: this.size("original_max_position_embeddings"),
        };
      default:
        throw this.#error("rope_type", "one of default, linear, llama3");
    }
  }

  #error(key: string, legal: string): ModelError {
    const found = this.has(key) ? JSON.stringify(this.#json[key]) : "nothing";
    return new ModelError("config-field", `${this.file}: "${key}" must be ${legal}, found ${found}`, {
      key,
      found: this.#json[key],
    });
  }
}

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu_fast: "geluTanh",
  silu: "silu",
  swish: "silu",
  relu: "relu",
};

/** The attention of block `layer` (0-based). */
export function attentionOf(config: ModelConfig, layer: number): AttentionConfig {
  return config.layers?.[layer] ?? config;
}

/** How many blocks make keys and values of their own; the blocks above attend to those of the last one. */
export function keyValueLayers({
  numLayers,
  numKvSharedLayers,
}: Pick<ModelConfig, "numLayers" | "numKvSharedLayers">): number {
  return numLayers - numKvSharedLayers;
}

/** Checks what must hold in every family. */
export function checkConfig(config: ModelConfig): ModelConfig {
  const { numHeads, numKvHeads, hiddenSize, headDim, modelType, numLayers, numKvSharedLayers } = config;
  if (numHeads % numKvHeads !== 0) {
    throw new ModelError(
      "config-heads",
      `${modelType}: ${numHeads} query heads cannot share ${numKvHeads} key/value heads evenly`,
      { numHeads, numKvHeads },
    );
  }
  if (!Number.isInteger(headDim)) {
    throw new ModelError(
      "config-heads",
      `${modelType}: hidden size ${hiddenSize} is not a multiple of ${numHeads} heads`,
      { hiddenSize, numHeads },
    );
  }
  if (numKvSharedLayers >= numLayers) {
    throw new ModelError(
      "config-shared",
      `${modelType}: ${numKvSharedLayers} of ${numLayers} blocks share keys and values, so none is left to make any; ` +
        `at most ${numLayers - 1} can share`,
      { numKvSharedLayers, numLayers },
    );
  }
  return config;
}
