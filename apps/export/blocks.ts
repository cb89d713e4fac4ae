/**
 * Blocks as ONNX nodes: model/block.ts and model/advance.ts for T positions of one text after P earlier ones, S = P +
 * T.
 *   keys, values   [G, 1, S, D] per block: those of the past, then the new ones; keys after norm and rotation
 *   queries        [G, H/G, T, D]: query heads that share a key/value head lie side by side
 *   attention      softmax(q kᵀ · queryScale / √D + mask) v, mask [T, S]
 * Legend: C hidden size, H query heads, G key/value heads, D head size.
 */
import {
  attentionOf,
  type BlockWeights,
  type LinearWeights,
  type Model,
  type NormWeights,
  type RotaryConfig,
  rotaryTable,
} from "early-exits/model";
import { activate, type Graph, linear, normalize, rmsNorm, weightOf } from "./layers.js";

/** Keys and values [G, 1, S, D] of one block. */
interface Cache {
  readonly keys: string;
  readonly values: string;
}

/** Shares positions, masks and rotations between a graph's blocks. */
export class Blocks {
  readonly #caches = new Map<number, Cache>();
  readonly #masks = new Map<number, string>();
  readonly #rotations = new Map<string, { readonly cos: string; readonly sin: string }>();
  readonly #reads: number[] = [];
  #positions: string | undefined;

  constructor(
    readonly graph: Graph,
    readonly model: Model,
  ) {}

  /** Blocks (0-based) with keys and values that the graph takes and returns. */
  get caches(): number[] {
    return [...this.#caches.keys()].filter((layer) => !this.#reads.includes(layer));
  }

  /** Blocks with keys and values that the graph only reads. */
  get reads(): readonly number[] {
    return this.#reads;
  }

  get takesPositions(): boolean {
    return this.#positions !== undefined;
  }

  /** The positions of the rows, [T]; an input once it is asked for. */
  get positions(): string {
    return (this.#positions ??= this.graph.builder.input("positions", "int64", ["T"]));
  }

  /** Token ids [T] -> states that enter block 0, [T, C]. */
  embed(ids: string): string {
    const { builder: b } = this.graph;
    const { embedding, positionEmbedding } = this.model.weights;
    const { embeddingScale } = this.model.config;
    const looked = b.node("Gather", [weightOf(this.graph, "embedding", embedding), ids]);
    const x = embeddingScale === undefined ? looked : b.node("Mul", [looked, b.scalar(embeddingScale)]);
    if (positionEmbedding === undefined) return x;
    const table = weightOf(this.graph, "position_embedding", positionEmbedding);
    return b.node("Add", [x, b.node("Gather", [table, this.positions])]);
  }

  /** Runs block `layer` (0-based): x [T, C] -> [T, C]. */
  run(x: string, layer: number): string {
    const { graph, model } = this;
    const { config } = model;
    const name = `block.${layer}`;
    const weights = model.weights.blocks[layer]!;
    const normed = normalize(graph, x, weights.attentionNorm, config, `${name}.attention_norm`);
    const query = linear(graph, normed, weights.query, `${name}.query`); // [T, H·D]
    const cache =
      weights.keyValue === undefined
        ? this.#sharedCache()
        : this.#extend(layer, linear(graph, normed, weights.keyValue, `${name}.key_value`));
    const context = this.#attend(query, layer, cache); // [T, H·D]
    const attended = this.#addTo(x, context, weights.attentionOut, weights.attentionPostNorm, `${name}.attention_out`);
    const beside = weights.mlpNorm === undefined ? normed : x; // what a parallel MLP reads
    const input = config.parallelResidual ? beside : attended;
    const mlpInput = normalize(graph, input, weights.mlpNorm, config, `${name}.mlp_norm`);
    const hidden = activate(graph, linear(graph, mlpInput, weights.up, `${name}.up`), config); // [T, F]
    return this.#addTo(attended, hidden, weights.down, weights.mlpPostNorm, `${name}.down`);
  }

  /** Adds keys and values [T, 2·G·D], before the key norm and rotation. */
  fillWith(keyValue: string, layer: number): void {
    this.#extend(layer, keyValue);
  }

  /** The residual stream [T, C] plus the (normed) projection of x onto it. */
  #addTo(residual: string, x: string, weights: LinearWeights, post: NormWeights | undefined, name: string): string {
    const projected = linear(this.graph, x, weights, name);
    const normed = normalize(this.graph, projected, post, this.model.config, `${name}.post_norm`);
    return this.graph.builder.node("Add", [residual, normed]);
  }

  /** Appends keys and values [T, 2·G·D] of the new positions. */
  #extend(layer: number, keyValue: string): Cache {
    const { numKvHeads: g, headDim: d } = this.model.config;
    const { builder: b } = this.graph;
    const { keyNorm } = this.model.weights.blocks[layer]!;
    const [keys, values] = b.split(keyValue, 1, [g * d, g * d]);
    const normed = this.#normHeads(keys!, keyNorm, g, `block.${layer}.key_norm`);
    const added = {
      key: this.#toHeads(this.#rotate(this.#byHead(normed, 1), layer)),
      value: this.#toHeads(this.#byHead(values!, 1)),
    };
    const append = (kind: "key" | "value"): string => {
      const past = b.input(`past_${kind}_${layer}`, "float32", [g, 1, "P", d]);
      const present = b.node("Concat", [past, added[kind]], {
        outputs: [`present_${kind}_${layer}`],
        attributes: { axis: 2 },
      });
      b.output(present, "float32", [g, 1, "S", d]);
      return present;
    };
    const cache = { keys: append("key"), values: append("value") };
    this.#caches.set(layer, cache);
    return cache;
  }

  /** Cache for blocks without keys and values: an input if its block is in another graph. */
  #sharedCache(): Cache {
    const { numLayers, numKvSharedLayers, numKvHeads: g, headDim: d } = this.model.config;
    const layer = numLayers - numKvSharedLayers - 1;
    const made = this.#caches.get(layer);
    if (made !== undefined) return made;
    const { builder: b } = this.graph;
    const cache = {
      keys: b.input(`seen_key_${layer}`, "float32", [g, 1, "S", d]),
      values: b.input(`seen_value_${layer}`, "float32", [g, 1, "S", d]),
    };
    this.#reads.push(layer);
    this.#caches.set(layer, cache);
    return cache;
  }

  /** query [T, H·D] before norm and rotation -> context [T, H·D]. */
  #attend(query: string, layer: number, { keys, values }: Cache): string {
    const { numHeads, numKvHeads, headDim, queryScale = 1 } = this.model.config;
    const { builder: b } = this.graph;
    const { queryNorm } = this.model.weights.blocks[layer]!;
    const normed = this.#normHeads(query, queryNorm, numHeads, `block.${layer}.query_norm`);
    const byHead = this.#byHead(normed, numHeads / numKvHeads); // [T, G, H/G, D]
    const q = this.#toHeads(this.#rotate(byHead, layer)); // [G, H/G, T, D]
    const products = b.node("MatMul", [q, b.node("Transpose", [keys], { attributes: { perm: [0, 1, 3, 2] } })]);
    const scaled = b.node("Mul", [products, b.scalar(queryScale / Math.sqrt(headDim))]); // [G, H/G, T, S]
    const masked = b.node("Add", [scaled, this.#mask(layer, keys)]);
    const mixed = b.node("MatMul", [b.node("Softmax", [masked], { attributes: { axis: -1 } }), values]);
    const rows = b.node("Transpose", [mixed], { attributes: { perm: [2, 0, 1, 3] } }); // [T, G, H/G, D]
    return b.node("Reshape", [rows, b.int64(-1, numHeads * headDim)]);
  }

  /** [T, G·r·D] -> [T, G, r, D]. */
  #byHead(x: string, repeat: number): string {
    const { numKvHeads, headDim } = this.model.config;
    const { builder: b } = this.graph;
    return b.node("Reshape", [x, b.int64(-1, numKvHeads, repeat, headDim)]);
  }

  /** [T, G, r, D] -> [G, r, T, D]. */
  #toHeads(x: string): string {
    return this.graph.builder.node("Transpose", [x], { attributes: { perm: [1, 2, 0, 3] } });
  }

  /** RMSNorm of queries or keys [T, heads·D]: of each head if the gain is [D], of all together otherwise. */
  #normHeads(x: string, norm: BlockWeights["queryNorm"], heads: number, name: string): string {
    if (norm === undefined) return x;
    const { builder: b } = this.graph;
    const { headDim } = this.model.config;
    const gain = weightOf(this.graph, `${name}.gain`, norm.gain);
    if (norm.gain.size !== headDim || heads === 1) return rmsNorm(this.graph, x, gain, this.model.config);
    const normed = rmsNorm(this.graph, b.node("Reshape", [x, b.int64(-1, heads, headDim)]), gain, this.model.config);
    return b.node("Reshape", [normed, b.int64(-1, heads * headDim)]);
  }

  /** Rotates [T, G, r, D] by its positions; x itself if the block does not rotate. */
  #rotate(x: string, layer: number): string {
    const { rotary } = attentionOf(this.model.config, layer);
    if (rotary === undefined) return x;
    const { builder: b } = this.graph;
    const { cos, sin } = this.#rotation(rotary); // [T, 1, 1, dim/2]
    const half = rotary.dim / 2;
    const rest = this.model.config.headDim - rotary.dim;
    const [first, second, unrotated] = b.split(x, 3, [half, half, ...(rest > 0 ? [rest] : [])]);
    const times = (part: string, by: string): string => b.node("Mul", [part, by]);
    const rotated = [
      b.node("Sub", [times(first!, cos), times(second!, sin)]),
      b.node("Add", [times(second!, cos), times(first!, sin)]),
    ];
    const parts = unrotated === undefined ? rotated : [...rotated, unrotated];
    return b.node("Concat", parts, { attributes: { axis: 3 } });
  }

  /** cos and sin at the positions, [T, 1, 1, dim/2]. */
  #rotation(rotary: RotaryConfig): { readonly cos: string; readonly sin: string } {
    const key = `rotary ${JSON.stringify(rotary)}`;
    const made = this.#rotations.get(key);
    if (made !== undefined) return made;
    const { builder: b, weights } = this.graph;
    const length = this.model.config.maxPositionEmbeddings;
    const shape = [length, rotary.dim / 2];
    const at = (kind: "cos" | "sin"): string => {
      const read = (): Promise<Float32Array> => Promise.resolve(rotaryTable(rotary, length)[kind]);
      const placed = weights.place(`${kind} ${key}`, length * (rotary.dim / 2), read);
      const table = b.placed(`rotary.${this.#rotations.size}.${kind}`, shape, placed);
      return b.node("Unsqueeze", [b.node("Gather", [table, this.positions]), b.int64(1, 2)]);
    };
    const rotation = { cos: at("cos"), sin: at("sin") };
    this.#rotations.set(key, rotation);
    return rotation;
  }

  /** 0 where a position [T] attends to a key [S], -1e30 elsewhere: [T, S]. */
  #mask(layer: number, keys: string): string {
    const { window = Infinity } = attentionOf(this.model.config, layer);
    const made = this.#masks.get(window);
    if (made !== undefined) return made;
    const { builder: b } = this.graph;
    const length = b.node("Gather", [b.node("Shape", [keys]), b.integer(2)]); // S
    const key = b.node("Range", [b.integer(0), length, b.integer(1)]); // [S]
    const position = b.node("Unsqueeze", [this.positions, b.int64(1)]); // [T, 1]
    const before = b.node("LessOrEqual", [key, position]);
    const seen =
      window === Infinity
        ? before
        : b.node("And", [before, b.node("Greater", [key, b.node("Sub", [position, b.int64(window)])])]);
    const mask = b.node("Where", [seen, b.scalar(0), b.scalar(-1e30)]);
    this.#masks.set(window, mask);
    return mask;
  }
}
