/** Model types, by the names in config.json. */
import { type Budgets, budgetsWith } from "../../budgets.js";
import { ModelError } from "../../errors.js";
import { shown } from "../../shown.js";
import { ConfigReader } from "../config-reader.js";
import { checkConfig, type ModelConfig, type ModelType } from "../config.js";
import type { Family } from "./family.js";
import { gemma3 } from "./gemma3.js";
import { gptNeox } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { llama, qwen2 } from "./llama.js";
import { mistral } from "./mistral.js";
import { olmo2 } from "./olmo2.js";
import { phi } from "./phi.js";
import { phi3 } from "./phi3.js";
import { qwen3 } from "./qwen3.js";
import { smollm3 } from "./smollm3.js";

export const families: Readonly<Record<ModelType, Family>> = {
  gemma3_text: gemma3,
  gpt2,
  gpt_neox: gptNeox,
  llama,
  mistral,
  olmo2,
  phi,
  phi3,
  qwen2,
  qwen3,
  smollm3,
};

export interface ReadConfigOptions {
  /** Raised limits (budgets.ts). */
  readonly budgets?: Partial<Budgets> | undefined;
}

/** Throws a ModelError that names the field, or lists the supported architectures. */
export function readModelConfig(json: unknown, { budgets }: ReadConfigOptions = {}): ModelConfig {
  const reader = new ConfigReader(json, "config.json", budgetsWith(budgets));
  const type = reader.text("model_type");
  if (!Object.hasOwn(families, type)) {
    throw new ModelError(
      "architecture-unknown",
      `config.json: model_type ${shown(type)} is not supported; supported are ${Object.keys(families).join(", ")}`,
      { modelType: type },
    );
  }
  return checkConfig(families[type as ModelType].readConfig(reader));
}
