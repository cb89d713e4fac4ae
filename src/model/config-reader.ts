/**
 * `ConfigReader` reads typed fields of a parsed config.json. What is spelled differently by transformers 4 and 5, or by
 * single families, has a method of its own. Its errors name the field, what was found and what is legal.
 */
import { ModelError } from "../errors.js";
import type { Activation, AttentionConfig, LongRopeScaling, RotaryConfig, YarnRopeScaling } from "./config.js";

interface RotaryOptions {
  /** The older field of the base. @default "rope_theta" */
  readonly thetaKey?: string;
  /** The base, if no field states it. @default `rope_theta`, or 10,000 */
  readonly theta?: number;
  /** The share of a head that is rotated, if no field states it. @default 1 */
  readonly share?: number;
  /** The entry of `rope_parameters` to read, if it has one for each type of block. */
  readonly layerType?: string;
  /** The older field of the scaling; null if there is none. @default "rope_scaling" */
  readonly scalingKey?: string | null;
}

/** Fields of a parsed config.json, or of an object inside it. */
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

  /**
   * `sliding_window`, as a part of an AttentionConfig. If the field is absent, the fallback counts; null means that
   * there is no window.
   */
  window(fallback?: number): Pick<AttentionConfig, "window"> {
    const found = this.#json["sliding_window"];
    if (found === null || (found === undefined && fallback === undefined)) return {};
    return { window: this.size("sliding_window", fallback) };
  }

  /** RoPE settings, from the older top-level fields or the newer `rope_parameters`. */
  rotary(headDim: number, options: RotaryOptions = {}): RotaryConfig {
    const { thetaKey = "rope_theta", share = 1, layerType, scalingKey = "rope_scaling" } = options;
    const parameters = this.object("rope_parameters");
    const nested = (layerType === undefined ? undefined : parameters?.object(layerType)) ?? parameters;
    const theta = nested?.has("rope_theta")
      ? nested.number("rope_theta")
      : this.number(thetaKey, options.theta ?? this.number("rope_theta", 10_000));
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
    const source = (scalingKey === null ? undefined : this.object(scalingKey)) ?? nested;
    const scaling = source === undefined ? undefined : source.#ropeScaling(this, dim);
    return scaling === undefined ? { dim, theta } : { dim, theta, scaling };
  }

  /** `top` is config.json itself, where Phi-3 states its original context. */
  #ropeScaling(top: ConfigReader, dim: number): RotaryConfig["scaling"] {
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
      case "yarn":
        return this.#yarn(top);
      case "longrope":
      case "su": // the older name
        return this.#longRope(top, dim);
      default:
        throw this.#error("rope_type", "one of default, linear, llama3, longrope, yarn");
    }
  }

  #yarn(top: ConfigReader): YarnRopeScaling {
    const factor = this.number("factor");
    this.only("truncate", true);
    this.only("mscale", null);
    return {
      ropeType: "yarn",
      factor,
      attentionFactor: this.number("attention_factor", 0.1 * Math.max(0, Math.log(factor)) + 1),
      betaFast: this.number("beta_fast", 32),
      betaSlow: this.number("beta_slow", 1),
      originalMaxPositionEmbeddings: this.#originalContext(top),
    };
  }

  #longRope(top: ConfigReader, dim: number): LongRopeScaling {
    const original = this.#originalContext(top);
    const stretch = Math.log(top.size("max_position_embeddings", original) / original);
    const factors: unknown = this.#json["short_factor"];
    const legal = Array.isArray(factors) && factors.every((factor) => Number.isFinite(factor) && factor > 0);
    if (!legal || factors.length !== dim / 2) {
      throw this.#error("short_factor", `a list of ${dim / 2} positive numbers`);
    }
    return {
      ropeType: "longrope",
      factors,
      attentionFactor: this.number("attention_factor", Math.sqrt(1 + Math.max(0, stretch) / Math.log(original))),
      originalMaxPositionEmbeddings: original,
    };
  }

  #originalContext(top: ConfigReader): number {
    const key = "original_max_position_embeddings";
    return this.size(key, top.size(key, top.size("max_position_embeddings", 2048)));
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
