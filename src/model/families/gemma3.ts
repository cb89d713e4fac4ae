/**
 * Gemma 3, the text model (Gemma Team 2025): a llama with norms on both sides of attention and of the MLP, norms of
 * queries and keys, a GELU gate, embeddings times √C, and sliding windows in five blocks of six, which rotate with a
 * base of their own. Norms multiply by 1 + what is stored.
 */
import type { ConfigReader } from "../config-reader.js";
import type { AttentionConfig, ModelConfig } from "../config.js";
import type { NormPlan } from "../weights.js";
import type { Family } from "./family.js";
import { llamaPlan, readLlamaConfig } from "./llama.js";

export const gemma3: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json) {
    const bias = json.flag("attention_bias", false);
    const config = readLlamaConfig(json, {
      modelType: "gemma3_text",
      biases: { query: bias, keyValue: bias, attentionOut: bias, mlp: false },
      tiedByDefault: true,
    });
    json.only("query_pre_attn_scalar", config.headDim);
    json.only("attn_logit_softcapping", null);
    json.only("final_logit_softcapping", null);
    json.only("use_bidirectional_attention", false);
    return {
      ...config,
      activation: json.activation("hidden_activation", "gelu_pytorch_tanh"),
      embeddingScale: Math.sqrt(config.hiddenSize),
      layers: layersOf(json, config),
    };
  },

  plan(config, prefix) {
    const layout = llamaPlan(config, prefix);
    const norm = (name: string, width = config.hiddenSize): NormPlan => ({
      gain: { name: `${prefix}${name}.weight`, shape: [width], plus: 1 },
    });
    return {
      ...layout,
      blocks: layout.blocks.map((block, l) => ({
        ...block,
        attentionNorm: norm(`layers.${l}.input_layernorm`),
        queryNorm: norm(`layers.${l}.self_attn.q_norm`, config.headDim),
        keyNorm: norm(`layers.${l}.self_attn.k_norm`, config.headDim),
        attentionPostNorm: norm(`layers.${l}.post_attention_layernorm`),
        mlpNorm: norm(`layers.${l}.pre_feedforward_layernorm`),
        mlpPostNorm: norm(`layers.${l}.post_feedforward_layernorm`),
      })),
      finalNorm: norm("norm"),
    };
  },
};

function layersOf(json: ConfigReader, { numLayers, headDim }: ModelConfig): AttentionConfig[] {
  const full: AttentionConfig = {
    rotary: json.rotary(headDim, { layerType: "full_attention", theta: 1_000_000 }),
  };
  const sliding: AttentionConfig = {
    rotary: json.rotary(headDim, {
      layerType: "sliding_attention",
      thetaKey: "rope_local_base_freq",
      theta: 10_000,
      scalingKey: null,
    }),
    ...json.window(4096),
  };
  const pattern = json.size("sliding_window_pattern", json.size("_sliding_window_pattern", 6));
  const types =
    json.perLayer("layer_types", numLayers, ["sliding_attention", "full_attention"]) ??
    Array.from({ length: numLayers }, (_, l) => ((l + 1) % pattern === 0 ? "full_attention" : "sliding_attention"));
  return types.map((type) => (type === "full_attention" ? full : sliding));
}
