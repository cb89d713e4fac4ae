/**
 * The layers of a transformer as ONNX nodes, by standard operators only: products, norms, activations. All tensors are
 * [R, width], as in model/block.ts, whose names these functions have.
 *   rmsNorm   x / √(mean x² + ε) · gain, written as onnxruntime recognises and fuses it
 */
import type { LinearWeights, Matrix, ModelConfig, NormWeights } from "early-exits/model";
import { PackedMatrix } from "early-exits/tensor";
import type { GraphBuilder } from "./graph-builder.js";
import { roundingOf, roundRows } from "./integer-products.js";
import type { WeightFile } from "./weight-file.js";

export interface Graph {
  readonly builder: GraphBuilder;
  readonly weights: WeightFile;
}

/** Weight by its name in the graph. */
export function weightOf({ builder, weights }: Graph, name: string, matrix: Matrix): string {
  const size = matrix.shape.reduce((product, n) => product * n, 1);
  return builder.placed(
    name,
    matrix.shape,
    weights.place(matrix, size, () => matrix.read()),
  );
}

/** x [R, K]·Wᵀ + bias -> [R, N]. Beside integer weights, x is rounded first. */
export function linear(graph: Graph, x: string, { weight, bias }: LinearWeights, name: string): string {
  const rounding = weight instanceof PackedMatrix ? roundingOf(weight.storage.dtype) : undefined;
  const input = rounding === undefined ? x : roundRows(graph.builder, x, weight.shape[1]!, rounding);
  const inputs = [input, weightOf(graph, `${name}.weight`, weight)];
  if (bias !== undefined) inputs.push(weightOf(graph, `${name}.bias`, bias));
  return graph.builder.node("Gemm", inputs, { attributes: { transB: 1 } });
}

type NormConfig = Pick<ModelConfig, "norm" | "normEpsilon" | "hiddenSize">;

/** The model's norm; x itself if there is none. */
export function normalize(
  graph: Graph,
  x: string,
  weights: NormWeights | undefined,
  config: NormConfig,
  name: string,
): string {
  if (weights === undefined) return x;
  const gain = weightOf(graph, `${name}.gain`, weights.gain);
  if (config.norm === "rmsNorm") return rmsNorm(graph, x, gain, config);
  const bias = weights.bias && weightOf(graph, `${name}.bias`, weights.bias);
  return layerNorm(graph, x, gain, bias, config);
}

export function normalizeOnly(graph: Graph, x: string, config: NormConfig): string {
  if (config.norm === "rmsNorm") return unitRms(graph, x, config);
  const { hiddenSize } = config;
  const ones = graph.builder.weight("ones", [hiddenSize], new Float32Array(hiddenSize).fill(1));
  return layerNorm(graph, x, ones, undefined, config);
}

function layerNorm(
  { builder }: Graph,
  x: string,
  gain: string,
  bias: string | undefined,
  { normEpsilon }: NormConfig,
): string {
  return builder.node("LayerNormalization", [x, gain, ...(bias === undefined ? [] : [bias])], {
    attributes: { axis: -1, epsilon: { float: normEpsilon } },
  });
}

export function rmsNorm(graph: Graph, x: string, gain: string, config: Pick<NormConfig, "normEpsilon">): string {
  return graph.builder.node("Mul", [unitRms(graph, x, config), gain]);
}

function unitRms({ builder: b }: Graph, x: string, { normEpsilon }: Pick<NormConfig, "normEpsilon">): string {
  const square = b.node("Pow", [x, b.scalar(2)]);
  const mean = b.node("ReduceMean", [square, b.int64(-1)], { attributes: { keepdims: 1 } });
  return b.node("Div", [x, b.node("Sqrt", [b.node("Add", [mean, b.scalar(normEpsilon)])])]);
}

/** act(x) [R, F], or act(gate) · up -> [R, F] if x [R, 2F] holds both halves. */
export function activate(
  graph: Graph,
  x: string,
  { activation, gatedMlp, intermediateSize }: Pick<ModelConfig, "activation" | "gatedMlp" | "intermediateSize">,
): string {
  const { builder: b } = graph;
  if (gatedMlp) {
    const [gate, up] = b.split(x, 1, [intermediateSize, intermediateSize]);
    return b.node("Mul", [activate(graph, gate!, { activation, gatedMlp: false, intermediateSize }), up!]);
  }
  switch (activation) {
    case "gelu":
      return b.node("Gelu", [x], { attributes: { approximate: "none" } });
    case "geluTanh":
      return b.node("Gelu", [x], { attributes: { approximate: "tanh" } });
    case "silu":
      return b.node("Mul", [x, b.node("Sigmoid", [x])]);
    case "relu":
      return b.node("Relu", [x]);
  }
}
