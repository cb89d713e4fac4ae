/**
 * An exit head as ONNX nodes, for one state x [1, C]: its row of logits by its kind (exits/heads/), then its score.
 * Scores are those of exits/heads/score.ts, of the row of logits z:
 *   log-sum-exp = m + log Σ exp(z - m), m = max z        entropy = log Σ e - Σ e·(z - m) / Σ e, e = exp(z - m)
 * Matrices are stored as the float32 values of the packed ones, which is what decoding computes with.
 */
import type { ExitHead, Matrices, PreviewShape, ScoreName } from "early-exits/exits";
import type { Tensor } from "early-exits/tensor";
import { type Graph, linear, normalize, normalizeOnly, weightOf } from "./layers.js";

interface Building {
  readonly graph: Graph;
  readonly head: ExitHead;
  /** Those of its preview included. */
  readonly packed: Matrices;
  /** Prefix of this head's weights. */
  readonly name: string;
}

/** A row of logits of some tokens, or of all. */
interface Logits {
  /** [1, W]. */
  readonly logits: string;
  /** The token of every column, int64 [W]; absent if column i is token i. */
  readonly ids?: string;
}

export interface HeadOutputs {
  /** int64 [1]. */
  readonly token: string;
  /** float32 [1]. */
  readonly score: string;
  /** float32 [1, V], if the head has a logit for every token. */
  readonly logits: string | undefined;
}

export function buildHead(
  graph: Graph,
  { head, packed }: Pick<Building, "head" | "packed">,
  x: string,
  scoreName: ScoreName,
): HeadOutputs {
  const building: Building = { graph, head, packed, name: `exit.${head.depth}` };
  const row = rowOf(building, x);
  return {
    token: tokenOf(graph, row),
    score: scoreOf(graph, row, scoreName),
    logits: row.ids === undefined ? row.logits : undefined,
  };
}

function rowOf(building: Building, x: string): Logits {
  const { graph, head } = building;
  const { kind, preview } = head.shape;
  if (kind === "dense") return { logits: product(normed(x, building), building, "weight", "bias") };
  const h = kind === "linear" ? mapped(x, building) : normed(x, building);
  if (preview) return previewed(h, building, preview);
  return { logits: linear(graph, h, head.model.weights.unembedding, "unembedding") };
}

/** n(x). */
function normed(x: string, { graph, head, packed, name }: Building): string {
  const { normGain, normBias } = packed as Readonly<Record<string, Tensor>>;
  const gain = { gain: normGain!, ...(normBias && { bias: normBias }) };
  return normalize(graph, x, gain, head.model.config, `${name}.norm`);
}

function product(x: string, { graph, packed, name }: Building, weight: string, bias = ""): string {
  const of = packed[bias] as Tensor | undefined;
  return linear(graph, x, { weight: packed[weight]!, ...(of && { bias: of }) }, `${name}.${weight}`);
}

/** g ⊙ (W u(x) + c) + β. */
function mapped(x: string, building: Building): string {
  const { graph, head, packed, name } = building;
  const { normGain, normBias } = packed;
  const moved = product(normalizeOnly(graph, x, head.model.config), building, "map", "mapBias");
  const gained = graph.builder.node("Mul", [moved, weightOf(graph, `${name}.norm.gain`, normGain!)]);
  if (normBias === undefined) return gained;
  return graph.builder.node("Add", [gained, weightOf(graph, `${name}.norm.bias`, normBias)]);
}

/** Exact logits of the tokens with the largest coarse ones, or ones by first components, by ascending id. */
function previewed(h: string, building: Building, { tokens, first, ...size }: PreviewShape): Logits {
  const { graph, head, packed, name } = building;
  const { builder: b } = graph;
  const { weight, bias } = head.model.weights.unembedding;
  const table = bias && weightOf(graph, "unembedding.bias", bias);
  const { candidates } = first ?? size;
  const all = product(h, building, "previewDown");
  const some = first && b.node("Slice", [all, b.int64(0), b.int64(packed["previewUp"]!.shape[1]!), b.int64(1)]);
  const rough = product(some ?? all, building, "previewUp", "previewBias"); // a list's bias
  const coarse = table && !tokens ? b.node("Add", [rough, table]) : rough;
  const [, best] = topColumns(graph, coarse, candidates); // int64 [1, n]
  const found = b.node("Reshape", [best!, b.int64(-1)]); // [n]
  const [columns] = topColumns(graph, found, candidates, { largest: 0 });
  const list = tokens && b.weight(`${name}.tokens`, [tokens.length], BigInt64Array.from(tokens, BigInt));
  const ids = list ? b.node("Gather", [list, columns!]) : columns!;
  const rows = b.node("Gather", [weightOf(graph, "unembedding.weight", weight), ids]); // [n, C]
  const inputs = [h, rows, ...(table ? [b.node("Gather", [table, ids])] : [])];
  return { logits: b.node("Gemm", inputs, { attributes: { transB: 1 } }), ids };
}

/** The token with the largest logit, the lowest id on ties: int64 [1]. */
export function tokenOf({ builder: b }: Graph, { logits, ids }: Logits): string {
  const column = b.node("ArgMax", [logits], { attributes: { axis: 1, keepdims: 0 } }); // [1]
  return ids ? b.node("Gather", [ids, column]) : column;
}

/** Largest, or smallest, values of the last axis in order, and their columns. */
function topColumns({ builder: b }: Graph, x: string, k: number, { largest = 1 } = {}): string[] {
  const outputs = [`${x}_top`, `${x}_columns`];
  b.node("TopK", [x, b.int64(k)], { outputs, attributes: { axis: -1, largest, sorted: 1 } });
  return outputs;
}

/** The score [1] of a row of logits. */
function scoreOf(graph: Graph, { logits }: Logits, name: ScoreName): string {
  const { builder: b } = graph;
  const flat = (x: string): string => b.node("Reshape", [x, b.int64(1)]);
  if (name === "entropy") return flat(logSums(graph, logits).entropy);
  const [values] = topColumns(graph, logits, 2);
  const [top1, top2] = b.split(values!, 1, [1, 1]);
  if (name === "margin") return flat(b.node("Sub", [top1!, top2!]));
  const { total } = logSums(graph, logits);
  const probability = (logit: string): string => b.node("Exp", [b.node("Sub", [logit, total])]);
  const best = probability(top1!);
  return flat(name === "maxProb" ? best : b.node("Sub", [best, probability(top2!)]));
}

/** log Σ exp of the logits, and their entropy in nats: [1, 1] each. */
function logSums({ builder: b }: Graph, logits: string): { readonly total: string; readonly entropy: string } {
  const reduce = (type: string, x: string): string => b.node(type, [x, b.int64(1)], { attributes: { keepdims: 1 } });
  const max = reduce("ReduceMax", logits);
  const shifted = b.node("Sub", [logits, max]);
  const exps = b.node("Exp", [shifted]);
  const sum = reduce("ReduceSum", exps);
  const log = b.node("Log", [sum]);
  const mean = b.node("Div", [reduce("ReduceSum", b.node("Mul", [exps, shifted])), sum]); // Σ p (z - m)
  return { total: b.node("Add", [max, log]), entropy: b.node("Sub", [log, mean]) };
}
