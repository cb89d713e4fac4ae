/**
 * A family translates one Hugging Face `model_type`: config.json to a ModelConfig, and that to each weight's checkpoint
 * tensors. A new one is such an object, listed in families/families.ts.
 */
import type { TensorSource } from "../checkpoint.js";
import type { ConfigReader } from "../config-reader.js";
import type { ModelConfig } from "../config.js";
import type { WeightLayout } from "../weights.js";

export interface Family {
  /** Prefixes of tensor names, the most usual first; "" for none. */
  readonly prefixes: readonly string[];
  /** Tensor of every checkpoint of the family, without prefix: it shows the prefix in use. */
  readonly landmark: string;
  readConfig(reader: ConfigReader): ModelConfig;
  plan(config: ModelConfig, prefix: string): WeightLayout;
}

/** The most usual prefix if the landmark is missing. */
export function prefixOf({ prefixes, landmark }: Family, { tensors }: Pick<TensorSource, "tensors">): string {
  return prefixes.find((prefix) => tensors.has(prefix + landmark)) ?? prefixes[0]!;
}

export function bos(ids: readonly number[]): { bosTokenId?: number } {
  const [first] = ids;
  return first === undefined ? {} : { bosTokenId: first };
}
