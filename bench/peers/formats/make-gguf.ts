/**
 * The model as a GGUF file for llama.cpp: architecture "gpt2", matrices as [out, in] (Conv1D transposed), the
 * unembedding left out because it is the embedding. As llama.cpp's own quantizer does, position embeddings and vectors
 * stay float32. llama.cpp needs a tokenizer: a stub of 8192 byte-level pieces, of which only the number matters here.
 */
import { type GgufTensor, type GgufType, serializeGguf } from "./gguf.js";
import { transpose, type Weights } from "./make-onnx.js";
import { shape } from "../shape.js";

const { hiddenSize: C, intermediateSize: F, numLayers, numHeads, vocabSize, contextSize, normEpsilon } = shape;

export function makeGguf(weights: Weights, type: GgufType): Uint8Array {
  const tensors: GgufTensor[] = [];
  const add = (name: string, from: string, as: GgufType = "f32"): void => {
    const { shape: sizes, data } = weights.get(`transformer.${from}`)!;
    tensors.push({ name, shape: sizes, type: as, data });
  };
  const pair = (name: string, from: string): void => {
    add(`${name}.weight`, `${from}.weight`);
    add(`${name}.bias`, `${from}.bias`);
  };
  const conv = (name: string, from: string, k: number, n: number): void => {
    tensors.push({
      name: `${name}.weight`,
      shape: [n, k],
      type,
      data: transpose(weights.get(`transformer.${from}.weight`)!.data, k, n),
    });
    add(`${name}.bias`, `${from}.bias`);
  };
  add("token_embd.weight", "wte.weight", type);
  add("position_embd.weight", "wpe.weight");
  pair("output_norm", "ln_f");
  for (let l = 0; l < numLayers; l++) {
    pair(`blk.${l}.attn_norm`, `h.${l}.ln_1`);
    conv(`blk.${l}.attn_qkv`, `h.${l}.attn.c_attn`, C, 3 * C);
    conv(`blk.${l}.attn_output`, `h.${l}.attn.c_proj`, C, C);
    pair(`blk.${l}.ffn_norm`, `h.${l}.ln_2`);
    conv(`blk.${l}.ffn_up`, `h.${l}.mlp.c_fc`, C, F);
    conv(`blk.${l}.ffn_down`, `h.${l}.mlp.c_proj`, F, C);
  }
  return serializeGguf({ ...architecture(type), ...tokenizer() }, tensors);
}

const architecture = (type: GgufType) => ({
  "general.architecture": "gpt2",
  "general.name": "early-exits peer",
  "general.file_type": { uint32: { f32: 0, q4_0: 2, q4_1: 3, q8_0: 7, bf16: 32 }[type] }, // enum llama_ftype
  "gpt2.context_length": { uint32: contextSize },
  "gpt2.embedding_length": { uint32: C },
  "gpt2.feed_forward_length": { uint32: F },
  "gpt2.block_count": { uint32: numLayers },
  "gpt2.attention.head_count": { uint32: numHeads },
  "gpt2.attention.layer_norm_epsilon": { float32: normEpsilon },
});

function tokenizer() {
  const pieces = [...byteLevelCharacters(), ...Array.from({ length: vocabSize - 256 }, (_, i) => `piece${i}`)];
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": { strings: pieces },
    "tokenizer.ggml.token_type": { int32s: pieces.map(() => 1) }, // LLAMA_TOKEN_TYPE_NORMAL
    "tokenizer.ggml.merges": { strings: ["a b"] },
    "tokenizer.ggml.eos_token_id": { uint32: vocabSize - 1 },
    "tokenizer.ggml.add_bos_token": false,
  };
}

/** GPT-2 writes each of the 256 bytes as a printable character: itself if it is one, or else one from U+0100 on. */
function byteLevelCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}
