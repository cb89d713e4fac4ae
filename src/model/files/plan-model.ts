/**
 * From a configuration and the checkpoint's tensors to the layout. A layout lists every tensor of every block, and some
 * every row, so config.json's sizes are first compared with the tensors: a block needs a tensor of its own, and every
 * size is that of some tensor.
 */
import type { Budgets } from "../../budgets.js";
import { ModelError } from "../../errors.js";
import type { TensorSource } from "../checkpoint.js";
import type { ModelConfig } from "../config.js";
import { families, readModelConfig } from "../families/families.js";
import type { WeightLayout } from "../weights.js";

/** Tensors under the most usual prefix if the landmark is missing. */
export function layoutOf(config: ModelConfig, { tensors }: Pick<TensorSource, "tensors">): WeightLayout {
  const family = families[config.modelType];
  const { prefixes, landmark } = family;
  return family.plan(config, prefixes.find((prefix) => tensors.has(prefix + landmark)) ?? prefixes[0]!);
}

interface PlannedModel {
  readonly config: ModelConfig;
  readonly layout: WeightLayout;
}

/** Throws a ModelError if the configuration is unsupported, or asks for more than the checkpoint can hold. */
export function planModel(
  configJson: unknown,
  source: Pick<TensorSource, "tensors">,
  budgets?: Partial<Budgets>,
): PlannedModel {
  const config = readModelConfig(configJson, { budgets });
  requireTensors(config, source);
  return { config, layout: layoutOf(config, source) };
}

function requireTensors(config: ModelConfig, { tensors }: Pick<TensorSource, "tensors">): void {
  const { numLayers, hiddenSize, vocabSize, intermediateSize, numHeads, numKvHeads, headDim } = config;
  if (numLayers > tensors.size) {
    throw new ModelError(
      "config-checkpoint",
      `config.json: it asks for ${numLayers} blocks, but the checkpoint has ${tensors.size} tensors; do the two ` +
        "belong together?",
      { asked: numLayers, tensors: tensors.size },
    );
  }
  let largest = 0;
  for (const { shape } of tensors.values()) {
    for (const size of shape) largest = Math.max(largest, size);
  }
  const sizes = {
    "the hidden size": hiddenSize,
    "the vocabulary": vocabSize,
    "the inner size of the MLP": intermediateSize,
    "all heads together": numHeads * headDim,
    "all key/value heads together": numKvHeads * headDim,
    "the learned positions": (config.rotary ?? config.layers) ? 0 : config.maxPositionEmbeddings,
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (size <= largest) continue;
    throw new ModelError(
      "config-checkpoint",
      `config.json: ${name} would be ${size}, but no tensor of the checkpoint has more than ${largest} rows or ` +
        "columns; do the two belong together?",
      { asked: size, largest },
    );
  }
}
