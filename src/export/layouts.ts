/**
 * Heads under the key names of other projects, so that their code can load them. All of them read a state after some
 * block by a norm and a matrix [V, C], which is what a head without a map is; a linear map without a bias is multiplied
 * into the matrix. Key names:
 *   ee-llm   language_model.encoder.layers.{block}.exit_norm.weight, language_model.exit_output_layer.{i}.weight, as
 *            tools/checkpoint/checkpoint_converter.py of EE-LLM makes them (--use-exit-norm, exits after the block)
 *   balcony  model.exit_modules.{i}.0.weight (norm) and .1.weight (matrix): NestedLlama without an exit decoder layer
 *   medusa   {i}.0.linear.weight and .bias (a residual block, zero: the identity) and {i}.1.weight, of
 *            medusa_lm_head.safetensors. Medusa has no norm of its own: its heads read states after the model's norm.
 * The repositories are pan-x-c/EE-LLM, benyaminjami/Balcony-LLaMA and FasterDecoding/Medusa.
 */
import { HeadsError } from "../errors.js";
import { type ExitHead, type ExitHeads, kindOf } from "../exits/heads/index.js";
import type { Model } from "../model/index.js";
import { scope, type Tensor } from "../tensor/index.js";
import { serializeSafetensors } from "../tensor/formats/index.js";
import { embedding, matmul, sliceRows } from "../tensor/ops/index.js";

export type HeadLayout = "ee-llm" | "balcony" | "medusa";
export const headLayouts = ["ee-llm", "balcony", "medusa"] as const satisfies readonly HeadLayout[];

/** A head as a norm and a matrix. */
interface PlainHead {
  readonly depth: number;
  /** [C]. */
  readonly gain: Float32Array;
  /** [C], if the model's norm has a bias. */
  readonly bias: Float32Array | undefined;
  /** [V, C]. */
  readonly matrix: Float32Array;
}

interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The name of the weight file, the tensors of the i-th head, and what the reader's configuration must say. */
interface LayoutDefinition {
  readonly file: string;
  tensors(head: PlainHead, i: number, model: Model): Readonly<Record<string, NamedTensor>>;
  config(depths: readonly number[]): Readonly<Record<string, unknown>>;
}

const layouts: Readonly<Record<HeadLayout, LayoutDefinition>> = {
  "ee-llm": {
    file: "exit_heads.safetensors",
    tensors: ({ depth, gain, bias, matrix }, i, { config: { vocabSize, hiddenSize } }) => ({
      [`language_model.encoder.layers.${depth - 1}.exit_norm.weight`]: { shape: [hiddenSize], data: gain },
      ...(bias && {
        [`language_model.encoder.layers.${depth - 1}.exit_norm.bias`]: { shape: [hiddenSize], data: bias },
      }),
      [`language_model.exit_output_layer.${i}.weight`]: { shape: [vocabSize, hiddenSize], data: matrix },
    }),
    config: (depths) => ({
      exit_layer_nums: depths,
      pre_exit: false,
      use_exit_norm: true,
      untie_exit_output_weights: true,
    }),
  },
  balcony: {
    file: "exit_modules.safetensors",
    tensors: ({ gain, bias, matrix }, i, { config: { vocabSize, hiddenSize } }) => ({
      [`model.exit_modules.${i}.0.weight`]: { shape: [hiddenSize], data: gain },
      ...(bias && { [`model.exit_modules.${i}.0.bias`]: { shape: [hiddenSize], data: bias } }),
      [`model.exit_modules.${i}.1.weight`]: { shape: [vocabSize, hiddenSize], data: matrix },
    }),
    config: (depths) => ({
      exit_layer_indices: depths,
      output_exit_layers: depths,
      exit_decoder_layer: false,
      tie_exit_lm_head: false,
    }),
  },
  medusa: {
    file: "medusa_lm_head.safetensors",
    tensors: ({ matrix }, i, { config: { vocabSize, hiddenSize } }) => ({
      [`${i}.0.linear.weight`]: { shape: [hiddenSize, hiddenSize], data: new Float32Array(hiddenSize ** 2) },
      [`${i}.0.linear.bias`]: { shape: [hiddenSize], data: new Float32Array(hiddenSize) },
      [`${i}.1.weight`]: { shape: [vocabSize, hiddenSize], data: matrix },
    }),
    config: (depths) => ({ medusa_num_heads: depths.length, medusa_num_layers: 1, exit_depths: depths }),
  },
};

/** Files by name: the tensors of all heads, and a config.json of the settings that their reader needs. */
export type LaidOutHeads = Readonly<Record<string, string | Uint8Array>>;

/**
 * Lays out heads for another project. Throws a HeadsError ("layout-head") that names a head which is more than a norm
 * and a matrix, and says which kinds can be laid out.
 */
export async function layOutHeads(heads: ExitHeads, layout: HeadLayout): Promise<LaidOutHeads> {
  await heads.ready();
  const { model } = heads;
  const definition = layouts[layout];
  const all: Record<string, NamedTensor & { readonly dtype: "F32" }> = {};
  for (const [i, head] of heads.heads.entries()) {
    const plain = await plainHead(head, layout);
    for (const [name, tensor] of Object.entries(definition.tensors(plain, i, model))) {
      all[name] = { dtype: "F32", ...tensor };
    }
  }
  const settings = { ...definition.config(heads.depths), base_model_hash: await model.hash() };
  return {
    [definition.file]: serializeSafetensors(all, { format: "pt" }),
    "config.json": `${JSON.stringify(settings, undefined, 2)}\n`,
  };
}

async function plainHead(head: ExitHead, layout: HeadLayout): Promise<PlainHead> {
  const { normGain, normBias } = head.weights;
  const plain = {
    depth: head.depth,
    gain: await normGain!.read(),
    bias: await normBias?.read(),
    matrix: await matrixOf(head, layout),
  };
  return layout === "medusa" ? { ...plain, matrix: await afterModelNorm(head, plain) } : plain;
}

/** The matrix [V, C] behind the norm: that of the vocabulary times those of the map. */
async function matrixOf(head: ExitHead, layout: HeadLayout): Promise<Float32Array> {
  const { shape, weights, model } = head;
  const own = shape.vocabulary === "trained" ? weights : undefined;
  const biased = own === undefined ? model.weights.unembedding.bias !== undefined : own["bias"] !== undefined;
  const factors = factorsOf(head);
  if ((own === undefined && shape.vocabulary !== "full") || biased || factors === undefined) {
    const kind = kindOf(shape) ?? `${shape.map} with ${shape.vocabulary}`;
    throw new HeadsError(
      "layout-head",
      `export: the head at depth ${head.depth} is ${kind}${biased ? " with a bias" : ""}, which ${layout} cannot ` +
        "express: its heads are a norm and a matrix; " +
        "dense, tied and lowRank heads without a bias can be laid out",
      { depth: head.depth, layout },
    );
  }
  const product = scope(() => {
    const rows = own?.["weight"] ?? allRows(model);
    return factors.reduce((left, right) => matmul(left, right), sliceRows(rows, 0, model.config.vocabSize));
  });
  const values = await product.read();
  product.dispose();
  return values;
}

/** The matrices of a map that is a product, first to last; undefined if the map is more. */
function factorsOf({ shape, weights }: ExitHead): readonly Tensor[] | undefined {
  switch (shape.map) {
    case "none":
      return [];
    case "translator":
      return [weights["translator"]!];
    case "lowRank":
      return [...(weights["back"] ? [weights["back"]] : []), weights["down"]!];
    case "linear":
    case "mlp":
    case "block":
      return undefined;
  }
}

/** All rows of the model's unembedding, [V, C]. */
function allRows({ weights, config }: Model): Tensor {
  return embedding(
    weights.unembedding.weight,
    Array.from({ length: config.vocabSize }, (_, id) => id),
  );
}

/**
 * The matrix for states after the model's final norm in place of the head's own: its columns times the ratio of the
 * gains. Norms with a bias must be equal.
 */
async function afterModelNorm(
  { depth, model }: ExitHead,
  { gain, bias, matrix }: Omit<PlainHead, "depth">,
): Promise<Float32Array> {
  const { finalNorm } = model.weights;
  const modelGain = await finalNorm.gain.read();
  const modelBias = await finalNorm.bias?.read();
  const ratio = gain.map((value, c) => (value === modelGain[c] ? 1 : value / modelGain[c]!));
  const sameBias =
    bias === undefined || (bias.every((value, c) => value === modelBias![c]) && ratio.every((r) => r === 1));
  if (!sameBias || !ratio.every(Number.isFinite)) {
    throw new HeadsError(
      "layout-norm",
      `export: medusa heads have no norm, and the head at depth ${depth} has one that the model's own final norm ` +
        "cannot stand for; choose another layout",
      { depth },
    );
  }
  return matrix.map((value, i) => value * ratio[i % ratio.length]!);
}
