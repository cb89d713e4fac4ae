/**
 * A family translates one Hugging Face `model_type`: its config.json into a ModelConfig, and a ModelConfig into the
 * checkpoint tensors that make up each weight. To add a family, write one such object and list it in
 * families/families.ts.
 */
import type { TensorSource } from "../checkpoint.js";
import type { ConfigReader } from "../config-reader.js";
import type { ModelConfig } from "../config.js";
import type { WeightLayout } from "../weights.js";

export interface Family {
  /** Prefixes that its tensor names may carry, the most usual first; "" for none. */
  readonly prefixes: readonly string[];
  /** A tensor that every checkpoint of the family has, without its prefix: it shows which prefix is in use. */
  readonly landmark: string;
  readConfig(reader: ConfigReader): ModelConfig;
  plan(config: ModelConfig, prefix: string): WeightLayout;
}

/** The prefix that the tensors of a checkpoint carry; the most usual one if the landmark is missing. */
export function prefixOf({ prefixes, landmark }: Family, { tensors }: Pick<TensorSource, "tensors">): string {
  return prefixes.find((prefix) => tensors.has(prefix + landmark)) ?? prefixes[0]!;
}

/** The first of the ids, as an optional field. */
export function bos(ids: readonly number[]): { bosTokenId?: number } {
  const [first] = ids;
  return first === undefined ? {} : { bosTokenId: first };
}
