/**
 * A family translates one Hugging Face `model_type`: config.json to a ModelConfig, and that to each weight's checkpoint
 * tensors. A new one is such an object, listed in families/families.ts.
 */
import type { ConfigReader } from "../config-reader.js";
import type { ModelConfig } from "../config.js";
import type { LinearPlan, NormPlan, WeightLayout } from "../weights.js";

export interface Family {
  /** Prefixes of tensor names, the most usual first; "" for none. */
  readonly prefixes: readonly string[];
  /** Tensor of every checkpoint of the family, without prefix: it shows the prefix in use. */
  readonly landmark: string;
  readConfig(reader: ConfigReader): ModelConfig;
  plan(config: ModelConfig, prefix: string): WeightLayout;
}

/** The ids that begin and end a text. */
export function endIds(json: ConfigReader): Pick<ModelConfig, "bosTokenId" | "eosTokenIds"> {
  const [bosTokenId] = json.tokenIds("bos_token_id");
  return { ...(bosTokenId !== undefined && { bosTokenId }), eosTokenIds: json.tokenIds("eos_token_id") };
}

export const allBiases = { query: true, keyValue: true, attentionOut: true, mlp: true } as const;

/** LayerNorm's gain and bias. */
export function layerNormPlan(width: number): (name: string) => NormPlan {
  return (name) => ({
    gain: { name: `${name}.weight`, shape: [width] },
    bias: { name: `${name}.bias`, shape: [width] },
  });
}

interface LinearOptions {
  /** @default false */
  readonly bias?: boolean;
  /** Rows of a stored matrix, in order. @default all of them */
  readonly rows?: readonly number[];
}

/** Several stored matrices, stacked: [key; value], [gate; up]. */
export function linearPlan(
  names: readonly string[],
  n: number,
  k: number,
  { bias = false, rows }: LinearOptions = {},
): LinearPlan {
  return {
    weight: names.map((name) => ({ name: `${name}.weight`, shape: [n, k], ...(rows && { rows }) })),
    ...(bias && { bias: names.map((name) => ({ name: `${name}.bias`, shape: [n], ...(rows && { rows }) })) }),
  };
}

export function range(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => begin + i);
}
