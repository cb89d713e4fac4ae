/**
 * The model as an ONNX graph with a key/value cache: T new tokens after P old ones, logits of the last token only (as
 * our own `unembed` of the last state, and as llama.cpp does). One graph serves prefill and decoding. Two ways to write
 * attention, because a peer is shown at its best: `plain` (MatMul, Softmax: what an export gives) and `multiHead`
 * (onnxruntime's own fused operator). Its GroupQueryAttention was tried and left out: onnxruntime-node 1.30 takes a
 * buffer for both past and present keys but copies it all the same, and decodes 15 % (web: 40 %) slower. Rows are
 * two-dimensional, so every product is a Gemm with its bias, packed by onnxruntime when the session starts; MatMul and
 * Add in its place measured the same.
 */
import { GraphBuilder } from "early-exits/export";
import type { NamedTensor } from "./make-model.js";
import { shape } from "../shape.js";

export const attentionForms = ["plain", "multiHead"] as const;
export type AttentionForm = (typeof attentionForms)[number];
export type Weights = ReadonlyMap<string, NamedTensor>;

const { hiddenSize: C, numLayers: L, numHeads: H, headDim: D, vocabSize: V, normEpsilon } = shape;

/**
 * Inputs: ids [T], positions [T], past_key_l and past_value_l [1, H, P, D]. Outputs: logits [1, V], present_key_l and
 * present_value_l.
 */
export function makeOnnx(weights: Weights, form: AttentionForm): Uint8Array {
  const g = new GraphBuilder("gpt2");
  for (const [name, { shape: sizes, data }] of weights) g.weight(name, sizes, data);
  const ids = g.input("ids", "int32", ["T"]);
  const positions = g.input("positions", "int32", ["T"]);
  for (let l = 0; l < L; l++) {
    for (const kind of ["key", "value"]) {
      g.input(`past_${kind}_${l}`, "float32", [1, H, "P", D]);
      g.output(`present_${kind}_${l}`, "float32", [1, H, "S", D]);
    }
  }
  const mask = form === "plain" ? causalMask(g) : "";

  const norm = (x: string, name: string): string =>
    g.node("LayerNormalization", [x, `${name}.weight`, `${name}.bias`], {
      attributes: { axis: 1, epsilon: { float: normEpsilon } },
    });
  const conv = (x: string, name: string): string => g.node("Gemm", [x, `${name}.weight`, `${name}.bias`]);

  let x = g.node("Add", [
    g.node("Gather", ["transformer.wte.weight", ids]),
    g.node("Gather", ["transformer.wpe.weight", positions]),
  ]); // [T, C]
  for (let l = 0; l < L; l++) {
    const at = `transformer.h.${l}`;
    const qkv = conv(norm(x, `${at}.ln_1`), `${at}.attn.c_attn`); // [T, 3C]
    const mixed = form === "plain" ? plainAttention(g, qkv, l, mask) : multiHeadAttention(g, qkv, l); // [T, C]
    x = g.node("Add", [conv(mixed, `${at}.attn.c_proj`), x]);
    const up = conv(norm(x, `${at}.ln_2`), `${at}.mlp.c_fc`); // [T, F]
    x = g.node("Add", [conv(g.node("Gelu", [up], { attributes: { approximate: "tanh" } }), `${at}.mlp.c_proj`), x]);
  }
  const last = g.node("Gather", [x, g.int64(-1)]); // [T, C] -> [1, C]
  g.weight("unembedding", [C, V], transpose(weights.get("transformer.wte.weight")!.data, V, C));
  g.node("MatMul", [norm(last, "transformer.ln_f"), "unembedding"], { outputs: ["logits"] });
  g.output("logits", "float32", [1, V]);
  return g.serialize(20);
}

/** softmax(q kᵀ / sqrt(D) + mask) v by standard operators. */
function plainAttention(g: GraphBuilder, qkv: string, l: number, mask: string): string {
  const heads = (part: string): string =>
    g.node("Transpose", [g.node("Reshape", [part, g.int64(1, -1, H, D)])], { attributes: { perm: [0, 2, 1, 3] } });
  const { q, k, v } = split(g, qkv, l, heads); // [1, H, T, D]
  const keys = g.node("Concat", [`past_key_${l}`, k], { outputs: [`present_key_${l}`], attributes: { axis: 2 } });
  const values = g.node("Concat", [`past_value_${l}`, v], { outputs: [`present_value_${l}`], attributes: { axis: 2 } });
  const scaled = g.node("Mul", [
    g.node("MatMul", [q, g.node("Transpose", [keys], { attributes: { perm: [0, 1, 3, 2] } })]),
    g.scalar(1 / Math.sqrt(D)),
  ]);
  const p = g.node("Softmax", [g.node("Add", [scaled, mask])], { attributes: { axis: 3 } }); // [1, H, T, S]
  const rows = g.node("Transpose", [g.node("MatMul", [p, values])], { attributes: { perm: [0, 2, 1, 3] } });
  return g.node("Reshape", [rows, g.int64(-1, C)]);
}

function multiHeadAttention(g: GraphBuilder, qkv: string, l: number): string {
  const { q, k, v } = split(g, qkv, l, (part) => g.node("Reshape", [part, g.int64(1, -1, C)]));
  const mixed = g.node("MultiHeadAttention", [q, k, v, "", "", "", `past_key_${l}`, `past_value_${l}`], {
    domain: "com.microsoft",
    outputs: [`mixed_${l}`, `present_key_${l}`, `present_value_${l}`],
    attributes: { num_heads: H, unidirectional: 1 },
  });
  return g.node("Reshape", [mixed, g.int64(-1, C)]);
}

/** Queries, keys and values, each reshaped. */
function split(
  g: GraphBuilder,
  qkv: string,
  l: number,
  reshape: (part: string) => string,
): Readonly<Record<"q" | "k" | "v", string>> {
  const outputs = [`q_${l}`, `k_${l}`, `v_${l}`];
  g.node("Split", [qkv], { outputs, attributes: { axis: 1, num_outputs: 3 } });
  return { q: reshape(`q_${l}`), k: reshape(`k_${l}`), v: reshape(`v_${l}`) };
}

/** 0 where key s <= position t, -1e30 elsewhere: [T, S]. */
function causalMask(g: GraphBuilder): string {
  const end = g.node(
    "Cast",
    [g.node("Add", [g.node("Gather", ["positions", g.int64(-1)]), g.weight("one", [1], Int32Array.of(1))])],
    { attributes: { to: 6 } },
  );
  const keys = g.node("Range", [
    g.weight("zero", [], Int32Array.of(0)),
    g.node("Squeeze", [end]),
    g.weight("step", [], Int32Array.of(1)),
  ]); // [S]
  const allowed = g.node("LessOrEqual", [keys, g.node("Unsqueeze", ["positions", g.int64(1)])]);
  return g.node("Where", [allowed, g.scalar(0), g.scalar(-1e30)]);
}

/** [rows, columns] -> [columns, rows]. */
export function transpose(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  }
  return out;
}
