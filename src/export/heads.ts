/**
 * An exit head as ONNX nodes: its map, its vocabulary and its score, for one state x [1, C]. A new map or vocabulary is
 * one more entry in a table here. Scores are those of exits/heads/score.ts, of the row of logits z:
 *   log-sum-exp = m + log Σ exp(z - m), m = max z        entropy = log Σ e - Σ e·(z - m) / Σ e, e = exp(z - m)
 * Matrices are stored as the float32 values of the packed ones, which is what decoding computes with.
 */
import type { Model } from "../model/index.js";
import type { ExitHead, HeadMap, HeadVocabulary, ScoreName } from "../exits/index.js";
import type { Tensor } from "../tensor/index.js";
import { gelu, type Graph, linear, normalize, normalizeOnly, weightOf } from "./layers.js";

/** What a map or a vocabulary builds with. */
interface Building {
  readonly graph: Graph;
  readonly model: Model;
  readonly head: ExitHead;
  /** The name of this head's weights in the graph. */
  readonly name: string;
}

/** A row of logits of listed tokens, or of all. */
interface Logits {
  /** [1, W]. */
  readonly logits: string;
  /** The token of every column, int64 [W]; absent if column i is token i. */
  readonly ids?: string;
  /** The logit [1, 1] of all tokens that are not listed together; absent if all are. */
  readonly rest?: string;
  /** How many tokens are listed, and how many are not. */
  readonly count?: number;
  readonly unlisted?: number;
}

/** What an exit gives: the names of the results. */
export interface HeadOutputs {
  /** int64 [1]. */
  readonly token: string;
  /** float32 [1]. */
  readonly score: string;
  /** float32 [1, V], if the head has a logit for every token. */
  readonly logits: string | undefined;
}

/** Builds the head for the state x [1, C]. */
export function buildHead(graph: Graph, model: Model, head: ExitHead, x: string, scoreName: ScoreName): HeadOutputs {
  const building: Building = { graph, model, head, name: `exit.${head.depth}` };
  const h = maps[head.shape.map](x, building);
  const row = vocabularies[head.shape.vocabulary](h, building);
  const token = tokenOf(graph, row);
  return { token, score: scoreOf(graph, row, scoreName), logits: row.ids === undefined ? row.logits : undefined };
}

/** x [1, C] -> h [1, w]. */
type BuildMap = (x: string, building: Building) => string;

const normed: BuildMap = (x, { graph, model, head, name }) => {
  const { normGain, normBias } = head.packedWeights as Readonly<Record<string, Tensor>>;
  return normalize(graph, x, { gain: normGain!, ...(normBias && { bias: normBias }) }, model.config, `${name}.norm`);
};

/** The product with a weight of the head. */
function product(x: string, { graph, head, name }: Building, weight: string, bias?: string): string {
  const { packedWeights } = head;
  const of = bias === undefined ? undefined : (packedWeights[bias] as Tensor | undefined);
  return linear(graph, x, { weight: packedWeights[weight]!, ...(of && { bias: of }) }, `${name}.${weight}`);
}

const maps: Readonly<Record<HeadMap, BuildMap>> = {
  none: normed,
  linear(x, building) {
    const { graph, model, head, name } = building;
    const { normGain, normBias } = head.packedWeights;
    const mapped = product(normalizeOnly(graph, x, model.config), building, "map", "mapBias");
    const gained = graph.builder.node("Mul", [mapped, weightOf(graph, `${name}.norm.gain`, normGain!)]);
    if (normBias === undefined) return gained;
    return graph.builder.node("Add", [gained, weightOf(graph, `${name}.norm.bias`, normBias)]);
  },
  translator: (x, building) => product(normed(x, building), building, "translator"),
  lowRank(x, building) {
    const narrow = product(normed(x, building), building, "down");
    return building.head.packedWeights["back"] === undefined ? narrow : product(narrow, building, "back");
  },
  mlp(x, building) {
    const base = normed(x, building);
    const inner = gelu(building.graph, product(base, building, "up"));
    return building.graph.builder.node("Add", [base, product(inner, building, "down")]);
  },
};

/** h [1, w] -> a row of logits. */
type BuildVocabulary = (h: string, building: Building) => Logits;

/** The model's own unembedding. */
const full: BuildVocabulary = (h, { graph, model }) => ({
  logits: linear(graph, h, model.weights.unembedding, "unembedding"),
});

const vocabularies: Readonly<Record<HeadVocabulary, BuildVocabulary>> = {
  full,
  screened: full, // finds the same best tokens with less work
  trained: (h, building) => ({ logits: product(h, building, "weight", "bias") }),
  trainedShortlist: (h, building) => listed(product(h, building, "weight", "bias"), building),
  shortlist(h, building) {
    const rest = product(product(h, building, "rest"), building, "last"); // zero but for the last column
    const own = product(h, building, "rows", "bias");
    return listed(building.graph.builder.node("Add", [own, rest]), building);
  },
  preview: previewed,
  previewShortlist: previewed,
};

/** Exact logits of the tokens with the largest coarse ones, by ascending id. */
function previewed(h: string, building: Building): Logits {
  const { graph, model, head } = building;
  const { shortlist, preview: size } = head.shape;
  const { builder: b } = graph;
  const { weight, bias } = model.weights.unembedding;
  const table = bias && weightOf(graph, "unembedding.bias", bias);
  const rough = product(product(h, building, "previewDown"), building, "previewUp", "previewBias"); // a list's bias
  const coarse = table === undefined || shortlist !== undefined ? rough : b.node("Add", [rough, table]);
  const [, best] = topColumns(graph, coarse, size!.candidates); // int64 [1, n]
  const found = b.node("Reshape", [best!, b.int64(-1)]); // [n]
  const [columns] = topColumns(graph, found, size!.candidates, { largest: 0 });
  const ids = shortlist === undefined ? columns! : b.node("Gather", [listOf(building), columns!]);
  const rows = b.node("Gather", [weightOf(graph, "unembedding.weight", weight), ids]); // [n, C]
  const inputs = [h, rows, ...(table === undefined ? [] : [b.node("Gather", [table, ids])])];
  return { logits: b.node("Gemm", inputs, { attributes: { transB: 1 } }), ids };
}

/** The listed tokens, int64 [n]. */
function listOf({ graph: { builder: b }, head: { shape }, name }: Building): string {
  const { shortlist = [] } = shape;
  return b.weight(`${name}.shortlist`, [shortlist.length], BigInt64Array.from(shortlist, BigInt));
}

/** Buckets [1, n + 1] of n listed tokens and of all others. */
function listed(buckets: string, building: Building): Logits {
  const { graph, head, model } = building;
  const { shortlist = [] } = head.shape;
  const [logits, rest] = graph.builder.split(buckets, 1, [shortlist.length, 1]);
  return {
    logits: logits!,
    ids: listOf(building),
    rest: rest!,
    count: shortlist.length,
    unlisted: model.config.vocabSize - shortlist.length,
  };
}

/** The token with the largest logit, the lowest id on ties: int64 [1]. */
export function tokenOf({ builder: b }: Graph, { logits, ids }: Logits): string {
  const column = b.node("ArgMax", [logits], { attributes: { axis: 1, keepdims: 0 } }); // [1]
  return ids === undefined ? column : b.node("Gather", [ids, column]);
}

/** The k largest, or smallest, values of the last axis in order, and their columns. */
function topColumns({ builder: b }: Graph, x: string, k: number, { largest = 1 } = {}): string[] {
  const outputs = [`${x}_top`, `${x}_columns`];
  b.node("TopK", [x, b.int64(k)], { outputs, attributes: { axis: -1, largest, sorted: 1 } });
  return outputs;
}

/** The score [1] of a row of logits. */
function scoreOf(graph: Graph, row: Logits, name: ScoreName): string {
  const { builder: b } = graph;
  const flat = (x: string): string => b.node("Reshape", [x, b.int64(1)]);
  if (name === "entropy") return flat(entropyOf(graph, row));
  const [top1, top2] = topTwo(graph, row);
  if (name === "margin") return flat(b.node("Sub", [top1, top2]));
  const { total } = logSums(graph, row);
  const probability = (logit: string): string => b.node("Exp", [b.node("Sub", [logit, total])]);
  const best = probability(top1);
  return flat(name === "maxProb" ? best : b.node("Sub", [best, probability(top2)]));
}

/** The two largest logits, [1, 1] each. The second may be that of all unlisted tokens together. */
function topTwo(graph: Graph, { logits, rest, count }: Logits): [string, string] {
  const { builder: b } = graph;
  if (count === 1) return [logits, rest!];
  const [values] = topColumns(graph, logits, 2);
  const [top1, top2] = b.split(values!, 1, [1, 1]);
  return [top1!, rest === undefined ? top2! : b.node("Max", [top2!, rest])];
}

/** log Σ exp of the listed logits, and of all, [1, 1] each; and what the entropy of the listed ones needs. */
function logSums({ builder: b }: Graph, { logits, rest }: Logits) {
  const reduce = (type: string, x: string): string => b.node(type, [x, b.int64(1)], { attributes: { keepdims: 1 } });
  const max = reduce("ReduceMax", logits);
  const shifted = b.node("Sub", [logits, max]);
  const exps = b.node("Exp", [shifted]);
  const sum = reduce("ReduceSum", exps);
  const log = b.node("Log", [sum]);
  const own = b.node("Add", [max, log]);
  const mean = b.node("Div", [reduce("ReduceSum", b.node("Mul", [exps, shifted])), sum]); // Σ p (z - m)
  return { own, total: rest === undefined ? own : logAdd(b, own, rest), entropy: b.node("Sub", [log, mean]) };
}

/** log(e^x + e^y). */
function logAdd(b: Graph["builder"], x: string, y: string): string {
  const distance = b.node("Abs", [b.node("Sub", [x, y])]);
  const correction = b.node("Log", [b.node("Add", [b.scalar(1), b.node("Exp", [b.node("Neg", [distance])])])]);
  return b.node("Add", [b.node("Max", [x, y]), correction]);
}

/** Nats, [1, 1]; the probability of unlisted tokens is spread evenly over them (shortlist-space.ts). */
function entropyOf(graph: Graph, row: Logits): string {
  const { builder: b } = graph;
  const { own, total, entropy } = logSums(graph, row);
  if (row.rest === undefined) return entropy;
  const logListed = b.node("Sub", [own, total]);
  const logRest = b.node("Sub", [row.rest, total]);
  const ofListed = b.node("Mul", [b.node("Exp", [logListed]), b.node("Sub", [entropy, logListed])]);
  const surprise = b.node("Sub", [logRest, b.scalar(Math.log(row.unlisted!))]);
  return b.node("Sub", [ofListed, b.node("Mul", [b.node("Exp", [logRest]), surprise])]);
}
