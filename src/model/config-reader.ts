/**
 * `ConfigReader` reads typed fields of a parsed config.json. Fields spelled differently by transformers 4 and 5, or by
 * families, have methods of their own. Numbers have ranges (RANGES): one outside would become NaN far from here. Errors
 * name the field, what was found and what is legal.
 */
import { type Budgets, budgetsWith, requireBudget } from "../budgets.js";
import { ModelError } from "../errors.js";
import { shown } from "../shown.js";
import type { Activation, AttentionConfig, LongRopeScaling, RotaryConfig, YarnRopeScaling } from "./config.js";
import { logarithm } from "./elementary.js";

interface RotaryOptions {
  /** Older field of the base. @default "rope_theta" */
  readonly thetaKey?: string;
  /** Base if no field states it. @default `rope_theta`, or 10,000 */
  readonly theta?: number;
  /** Rotated share of a head if no field states it. @default 1 */
  readonly share?: number;
  /** Entry of `rope_parameters`, if it has one for each type of block. */
  readonly layerType?: string;
  /** Older field of the scaling; null: none. @default "rope_scaling" */
  readonly scalingKey?: string | null;
}

export class ConfigReader {
  readonly #json: Readonly<Record<string, unknown>>;

  constructor(
    json: unknown,
    readonly file = "config.json",
    readonly budgets: Budgets = budgetsWith(),
  ) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new ModelError("config-malformed", `${file}: expected a JSON object, found ${shown(json)}`);
    }
    this.#json = json as Record<string, unknown>;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#json, key) && this.#json[key] !== undefined && this.#json[key] !== null;
  }

  #value(key: string, fallback?: unknown): unknown {
    return this.has(key) ? this.#json[key] : fallback;
  }

  size(key: string, fallback?: number): number {
    const value = this.#value(key, fallback);
    if (isInteger(value) && value > 0) return value;
    throw this.#error(key, `a positive integer up to ${LARGEST_SIZE}`);
  }

  count(key: string, fallback: number): number {
    const value = this.#value(key, fallback);
    if (isInteger(value)) return value;
    throw this.#error(key, `a count, 0 to ${LARGEST_SIZE}`);
  }

  /** Lists and layouts of that length are made from it. */
  layers(key: string, fallback?: number): number {
    const count = this.size(key, fallback);
    requireBudget(this.budgets, "layers", count, `${this.file}: "${key}"`);
    return count;
  }

  /** Number in the field's range (RANGES); without one, any finite number. */
  number(key: string, fallback?: number): number {
    const value = this.#value(key, fallback);
    const [above, atMost] = RANGES.get(key) ?? [-Infinity, Number.MAX_VALUE];
    if (typeof value !== "number" || !(value > above && value <= atMost)) {
      throw this.#error(key, RANGES.has(key) ? `a number above ${above}, at most ${atMost}` : "a number");
    }
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#value(key, fallback);
    if (typeof value !== "boolean") throw this.#error(key, "true or false");
    return value;
  }

  text(key: string, fallback?: string): string {
    const value = this.#value(key, fallback);
    if (typeof value !== "string") throw this.#error(key, "a string");
    return value;
  }

  object(key: string): ConfigReader | undefined {
    return this.has(key) ? new ConfigReader(this.#json[key], `${this.file}: ${key}`, this.budgets) : undefined;
  }

  /** A legal value for each block; undefined if the field is absent. */
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

  tokenIds(key: string): number[] {
    const value = this.#value(key, []);
    const ids = Array.isArray(value) ? value : [value];
    if (ids.length > MOST_IDS || !ids.every(isInteger)) {
      throw this.#error(key, `a token id or a list of at most ${MOST_IDS} token ids`);
    }
    return ids;
  }

  activation(key: string, fallback: string): Activation {
    const name = this.text(key, fallback);
    const activation = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
    if (activation === undefined) throw this.#error(key, `one of ${Object.keys(ACTIVATIONS).join(", ")}`);
    return activation;
  }

  /** Throws unless the field is absent or has the only value that is implemented. */
  only(key: string, legal: unknown): void {
    if (this.has(key) && this.#json[key] !== legal) {
      throw this.#error(key, `${JSON.stringify(legal)}, the only one implemented`);
    }
  }

  /** `sliding_window`. If the field is absent, the fallback counts; null means no window. */
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
      case "llama3": {
        const lowFreqFactor = this.number("low_freq_factor");
        const highFreqFactor = this.number("high_freq_factor");
        if (highFreqFactor <= lowFreqFactor) throw this.#error("high_freq_factor", "above low_freq_factor");
        return {
          ropeType,
          factor: this.number("factor"),
          lowFreqFactor,
          highFreqFactor,
          originalMaxPositionEmbeddings: this.size("original_max_position_embeddings"),
        };
      }
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
      attentionFactor: this.number("attention_factor", 0.1 * Math.max(0, logarithm(factor)) + 1),
      betaFast: this.number("beta_fast", 32),
      betaSlow: this.number("beta_slow", 1),
      originalMaxPositionEmbeddings: this.#originalContext(top),
    };
  }

  #longRope(top: ConfigReader, dim: number): LongRopeScaling {
    const original = this.#originalContext(top);
    if (original < 2) throw this.#error("original_max_position_embeddings", "an integer of at least 2");
    const stretch = logarithm(top.size("max_position_embeddings", original) / original);
    const factors: unknown = this.#json["short_factor"];
    const legal = Array.isArray(factors) && factors.every((factor) => factor > 0 && factor <= LARGEST_FACTOR);
    if (!legal || factors.length !== dim / 2) {
      throw this.#error("short_factor", `a list of ${dim / 2} positive numbers`);
    }
    return {
      ropeType: "longrope",
      factors,
      attentionFactor: this.number("attention_factor", Math.sqrt(1 + Math.max(0, stretch) / logarithm(original))),
      originalMaxPositionEmbeddings: original,
    };
  }

  #originalContext(top: ConfigReader): number {
    const key = "original_max_position_embeddings";
    return this.size(key, top.size(key, top.size("max_position_embeddings", 2048)));
  }

  #error(key: string, legal: string): ModelError {
    const found = this.has(key) ? shown(this.#json[key]) : "nothing";
    return new ModelError("config-field", `${this.file}: "${key}" must be ${legal}, found ${found}`, {
      key,
      found: this.#json[key],
    });
  }
}

/** Above any size or token id in use; products of two of them are still exact in a double. */
const LARGEST_SIZE = 2 ** 26;
const MOST_IDS = 1024;

function isInteger(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LARGEST_SIZE;
}

const LARGEST_FACTOR = 1e6;

/** A number above the first, at most the second. */
type Range = readonly [above: number, atMost: number];
const BASE: Range = [1, 1e15];
const SHARE: Range = [0, 1];
const FACTOR: Range = [0, LARGEST_FACTOR];

/** By field; the fields of all families. */
const RANGES: ReadonlyMap<string, Range> = new Map([
  ["rope_theta", BASE],
  ["rotary_emb_base", BASE],
  ["rope_local_base_freq", BASE],
  ["layer_norm_eps", SHARE],
  ["layer_norm_epsilon", SHARE],
  ["rms_norm_eps", SHARE],
  ["rotary_pct", SHARE],
  ["partial_rotary_factor", SHARE],
  ["factor", FACTOR],
  ["low_freq_factor", FACTOR],
  ["high_freq_factor", FACTOR],
  ["attention_factor", FACTOR],
  ["beta_fast", FACTOR],
  ["beta_slow", FACTOR],
  ["query_pre_attn_scalar", FACTOR],
]);

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
