/**
 * A family translates one Hugging Face `model_type`: its config.json into a ModelConfig, and a ModelConfig into the
 * plan of which checkpoint tensors make up which weight. To add a family, write one such object and list it in
 * families/index.ts.
 */
import type { ConfigReader, ModelConfig } from "../config.js";
import type { WeightLayout } from "../weights.js";

export interface Family {
  /** Prefixes its tensor names may carry, most usual first; "" for none. */
  readonly prefixes: readonly string[];
  /** A tensor that every checkpoint of the family has, without prefix: it tells which prefix is in use. */
  readonly landmark: string;
  readConfig(reader: ConfigReader): ModelConfig;
  plan(config: ModelConfig, prefix: string): WeightLayout;
}
