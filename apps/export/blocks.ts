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

export type Blocks = ReturnType<typeof blocksOf>;

/** Shares positions, masks and rotations between a graph's blocks. */
export function blocksOf(graph: Graph, model: Model) {
  const { builder: b, weights: file } = graph;
  const { config, weights } = model;
  const { numHeads, numKvHeads: g, headDim: d } = config;
  const caches = new Map<number, Cache>();
  const masks = new Map<number, string>();
  const rotations = new Map<string, { readonly cos: string; readonly sin: string }>();
  const reads: number[] = [];
  let positions: string | undefined;

  /** The positions of the rows, [T]; an input once it is asked for. */
  const positionsIn = (): string => (positions ??= b.input("positions", "int64", ["T"]));

  /** [T, G·r·D] -> [T, G, r, D]. */
  const byHead = (x: string, repeat: number): string => b.node("Reshape", [x, b.int64(-1, g, repeat, d)]);

  /** [T, G, r, D] -> [G, r, T, D]. */
  const toHeads = (x: string): string => b.node("Transpose", [x], { attributes: { perm: [1, 2, 0, 3] } });

  /** RMSNorm of queries or keys [T, heads·D]: of each head if the gain is [D], of all together otherwise. */
  const normHeads = (x: string, norm: BlockWeights["queryNorm"], heads: number, name: string): string => {
    if (norm === undefined) return x;
    const gain = weightOf(graph, `${name}.gain`, norm.gain);
    if (norm.gain.size !== d || heads === 1) return rmsNorm(graph, x, gain, config);
    const normed = rmsNorm(graph, b.node("Reshape", [x, b.int64(-1, heads, d)]), gain, config);
    return b.node("Reshape", [normed, b.int64(-1, heads * d)]);
  };

  /** cos and sin at the positions, [T, 1, 1, dim/2]. */
  const rotation = (rotary: RotaryConfig): { readonly cos: string; readonly sin: string } => {
    const key = `rotary ${JSON.stringify(rotary)}`;
    const known = rotations.get(key);
    if (known !== undefined) return known;
    const length = config.maxPositionEmbeddings;
    const shape = [length, rotary.dim / 2];
    const at = (kind: "cos" | "sin"): string => {
      const read = (): Promise<Float32Array> => Promise.resolve(rotaryTable(rotary, length)[kind]);
      const placed = file.place(`${kind} ${key}`, length * (rotary.dim / 2), read);
      const table = b.placed(`rotary.${rotations.size}.${kind}`, shape, placed);
      return b.node("Unsqueeze", [b.node("Gather", [table, positionsIn()]), b.int64(1, 2)]);
    };
    const made = { cos: at("cos"), sin: at("sin") };
    rotations.set(key, made);
    return made;
  };

  /** Rotates [T, G, r, D] by its positions; x itself if the block does not rotate. */
  const rotate = (x: string, layer: number): string => {
    const { rotary } = attentionOf(config, layer);
    if (rotary === undefined) return x;
    const { cos, sin } = rotation(rotary); // [T, 1, 1, dim/2]
    const half = rotary.dim / 2;
    const rest = d - rotary.dim;
    const [first, second, unrotated] = b.split(x, 3, [half, half, ...(rest > 0 ? [rest] : [])]);
    const times = (part: string, by: string): string => b.node("Mul", [part, by]);
    const rotated = [
      b.node("Sub", [times(first!, cos), times(second!, sin)]),
      b.node("Add", [times(second!, cos), times(first!, sin)]),
    ];
    const parts = unrotated === undefined ? rotated : [...rotated, unrotated];
    return b.node("Concat", parts, { attributes: { axis: 3 } });
  };

  /** 0 where a position [T] attends to a key [S], -1e30 elsewhere: [T, S]. */
  const maskOf = (layer: number, keys: string): string => {
    const { window = Infinity } = attentionOf(config, layer);
    const made = masks.get(window);
    if (made !== undefined) return made;
    const length = b.node("Gather", [b.node("Shape", [keys]), b.integer(2)]); // S
    const key = b.node("Range", [b.integer(0), length, b.integer(1)]); // [S]
    const position = b.node("Unsqueeze", [positionsIn(), b.int64(1)]); // [T, 1]
    const before = b.node("LessOrEqual", [key, position]);
    const seen =
      window === Infinity
        ? before
        : b.node("And", [before, b.node("Greater", [key, b.node("Sub", [position, b.int64(window)])])]);
    const mask = b.node("Where", [seen, b.scalar(0), b.scalar(-1e30)]);
    masks.set(window, mask);
    return mask;
  };

  /** The residual stream [T, C] plus the (normed) projection of x onto it. */
  const addTo = (
    residual: string,
    x: string,
    projection: LinearWeights,
    post: NormWeights | undefined,
    name: string,
  ): string => {
    const projected = linear(graph, x, projection, name);
    return b.node("Add", [residual, normalize(graph, projected, post, config, `${name}.post_norm`)]);
  };

  /** Appends keys and values [T, 2·G·D] of the new positions. */
  const extend = (layer: number, keyValue: string): Cache => {
    const [keys, values] = b.split(keyValue, 1, [g * d, g * d]);
    const normed = normHeads(keys!, weights.blocks[layer]!.keyNorm, g, `block.${layer}.key_norm`);
    const added = { key: toHeads(rotate(byHead(normed, 1), layer)), value: toHeads(byHead(values!, 1)) };
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
    caches.set(layer, cache);
    return cache;
  };

  /** Cache for blocks without keys and values: an input if its block is in another graph. */
  const sharedCache = (): Cache => {
    const layer = config.numLayers - config.numKvSharedLayers - 1;
    const made = caches.get(layer);
    if (made !== undefined) return made;
    const cache = {
      keys: b.input(`seen_key_${layer}`, "float32", [g, 1, "S", d]),
      values: b.input(`seen_value_${layer}`, "float32", [g, 1, "S", d]),
    };
    reads.push(layer);
    caches.set(layer, cache);
    return cache;
  };

  /** query [T, H·D] before norm and rotation -> context [T, H·D]. */
  const attend = (query: string, layer: number, { keys, values }: Cache): string => {
    const { queryScale = 1 } = config;
    const normed = normHeads(query, weights.blocks[layer]!.queryNorm, numHeads, `block.${layer}.query_norm`);
    const q = toHeads(rotate(byHead(normed, numHeads / g), layer)); // [T, G, H/G, D] -> [G, H/G, T, D]
    const products = b.node("MatMul", [q, b.node("Transpose", [keys], { attributes: { perm: [0, 1, 3, 2] } })]);
    const scaled = b.node("Mul", [products, b.scalar(queryScale / Math.sqrt(d))]); // [G, H/G, T, S]
    const masked = b.node("Add", [scaled, maskOf(layer, keys)]);
    const mixed = b.node("MatMul", [b.node("Softmax", [masked], { attributes: { axis: -1 } }), values]);
    const rows = b.node("Transpose", [mixed], { attributes: { perm: [2, 0, 1, 3] } }); // [T, G, H/G, D]
    return b.node("Reshape", [rows, b.int64(-1, numHeads * d)]);
  };

  return {
    /** Blocks (0-based) with keys and values that the graph only reads. */
    reads,

    /** Blocks (0-based) with keys and values that the graph takes and returns. */
    get caches(): number[] {
      return [...caches.keys()].filter((layer) => !reads.includes(layer));
    },

    get takesPositions(): boolean {
      return positions !== undefined;
    },

    /** Token ids [T] -> states that enter block 0, [T, C]. */
    embed(ids: string): string {
      const { embeddingScale } = config;
      const looked = b.node("Gather", [weightOf(graph, "embedding", weights.embedding), ids]);
      const x = embeddingScale === undefined ? looked : b.node("Mul", [looked, b.scalar(embeddingScale)]);
      if (weights.positionEmbedding === undefined) return x;
      const table = weightOf(graph, "position_embedding", weights.positionEmbedding);
      return b.node("Add", [x, b.node("Gather", [table, positionsIn()])]);
    },

    /** Runs block `layer` (0-based): x [T, C] -> [T, C]. */
    run(x: string, layer: number): string {
      const name = `block.${layer}`;
      const block = weights.blocks[layer]!;
      const normed = normalize(graph, x, block.attentionNorm, config, `${name}.attention_norm`);
      const query = linear(graph, normed, block.query, `${name}.query`); // [T, H·D]
      const cache =
        block.keyValue === undefined
          ? sharedCache()
          : extend(layer, linear(graph, normed, block.keyValue, `${name}.key_value`));
      const context = attend(query, layer, cache); // [T, H·D]
      const attended = addTo(x, context, block.attentionOut, block.attentionPostNorm, `${name}.attention_out`);
      const beside = block.mlpNorm === undefined ? normed : x; // what a parallel MLP reads
      const input = config.parallelResidual ? beside : attended;
      const mlpInput = normalize(graph, input, block.mlpNorm, config, `${name}.mlp_norm`);
      const hidden = activate(graph, linear(graph, mlpInput, block.up, `${name}.up`), config); // [T, F]
      return addTo(attended, hidden, block.down, block.mlpPostNorm, `${name}.down`);
    },

    /** Adds keys and values [T, 2·G·D], before the key norm and rotation. */
    fillWith: (keyValue: string, layer: number): void => void extend(layer, keyValue),
  };
}
