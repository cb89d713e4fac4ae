/**
 * A family translates one Hugging Face `model_type`: config.json to a ModelConfig, and that to each weight's checkpoint
 * tensors. A new one is such an object, listed in families/families.ts.
 */
import type { ConfigReader } from "../config-reader.js";
import type { ModelConfig } from "../config.js";
import type { NormPlan, WeightLayout } from "../weights.js";

export interface Family {
  /** Prefixes of tensor names, the most usual first; "" for none. */
  readonly prefixes: readonly string[];
  /** Tensor of every checkpoint of the family, without prefix: it shows the prefix in use. */
  readonly landmark: string;
  readConfig(reader: ConfigReader): ModelConfig;
  plan(config: ModelConfig, prefix: string): WeightLayout;
}

export function bos(ids: readonly number[]): { bosTokenId?: number } {
  const [first] = ids;
  return first === undefined ? {} : { bosTokenId: first };
}

/** LayerNorm's gain and bias. */
export function layerNormPlan(name: string, width: number): NormPlan {
  return { gain: { name: `${name}.weight`, shape: [width] }, bias: { name: `${name}.bias`, shape: [width] } };
}

export function range(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => begin + i);
}
